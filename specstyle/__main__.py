"""``python -m specstyle``."""

from specstyle.cli.main import main

if __name__ == "__main__":
    main()
