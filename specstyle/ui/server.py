"""Serves the page on this machine, and to this machine only."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from specstyle.errors import SpecstyleError
from specstyle.ui.app import make_app
from specstyle.ui.words import Limits

HOST = "127.0.0.1"
"""The only address: nobody else's machine reaches it."""


def serve(
    folder: Path, *, port: int, limits: Limits, browser: bool, on_address: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C.

    Args:
        folder: Where uploads and jobs are kept.
        port: 0 takes one that is free.
        limits: What is accepted.
        browser: Open the page.
        on_address: Called with the page's address, when it can be opened.

    Raises:
        SpecstyleError: If the port or the folder cannot be used.
    """
    listener = listen(port)
    try:
        server = make_server(make_app(folder.resolve(), limits))
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        on_address(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server.run(sockets=[listener])
    finally:
        listener.close()


def make_server(app: Any) -> uvicorn.Server:
    """Return what serves an application on a socket."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
    )


def listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine.

    Raises:
        SpecstyleError: If the port is not to be had.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecstyleError(f"port {port} cannot be used: {reason}; name another one with --port") from error
    return listener
