"""The command ``ui``."""

from __future__ import annotations

import argparse
import contextlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from specstyle.cli.options import add_output_options
from specstyle.errors import SpecstyleError

_DESCRIPTION = """Serve a page on this machine: drop two sounds or two pictures, watch, listen, download.

It answers to this machine only, and fetches nothing from elsewhere. Ctrl-C ends it; jobs that it has not
finished are listed again when it is started in the same folder.
"""


def add_ui_command(commands: Any) -> None:
    """Add the command to the parser's."""
    ui = commands.add_parser(
        "ui",
        help="serve a web page on this machine",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ui.add_argument("--port", type=int, default=7860, metavar="N", help="0: a free one (default: 7860)")
    ui.add_argument(
        "--folder",
        type=Path,
        default=Path("specstyle-ui"),
        metavar="DIR",
        help="where jobs and their results are kept (default: specstyle-ui)",
    )
    ui.add_argument(
        "--max-upload-mb", type=float, default=200.0, metavar="MB", help="largest file (default: 200)"
    )
    ui.add_argument(
        "--max-minutes",
        type=float,
        default=60.0,
        metavar="M",
        help="stop a job that runs for longer, with its best result so far (default: 60)",
    )
    ui.add_argument("--no-browser", action="store_true", help="do not open the page")
    add_output_options(ui)
    ui.set_defaults(action=_ui)


def _ui(arguments: argparse.Namespace) -> int:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SpecstyleError(
            f"the page needs {' and '.join(missing)}, which cannot be imported: pip install 'specstyle[ui]'"
        )
    if not 0 <= arguments.port < 2**16:
        raise ValueError(f"--port must be from 0 to 65535, got {arguments.port}")
    from specstyle.ui.server import serve
    from specstyle.ui.words import Limits

    def told(address: str) -> None:
        if not arguments.quiet:
            print(f"{address}  (jobs are kept in {arguments.folder}; Ctrl-C ends)", flush=True)

    with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
        serve(
            arguments.folder,
            port=arguments.port,
            limits=Limits(upload_mb=arguments.max_upload_mb, minutes=arguments.max_minutes),
            browser=not arguments.no_browser,
            on_address=told,
        )
    return 0
