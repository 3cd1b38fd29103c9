"""``python -m specstyle``, and the command ``specstyle``."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C before it can be handled ends the program without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as under nohup
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from specstyle.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
