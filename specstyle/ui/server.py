"""Serves the page on this machine, and to this machine only."""

from __future__ import annotations

import re
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from specstyle.errors import SpecstyleError
from specstyle.ui.app import make_app
from specstyle.ui.words import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
"""The only address: nobody else's machine reaches it."""


_OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


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


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return what serves an application on a socket, to this machine's own pages."""
    return uvicorn.Server(
        uvicorn.Config(
            guarded(app),
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
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecstyleError(f"port {port} cannot be used: {reason}; name another one with --port") from error


def guarded(app: ASGIApp) -> ASGIApp:
    """Return an application that only this machine's own pages reach.

    A page of another site in the same browser can reach this machine's ports, too. The browser is told to
    fetch nothing from elsewhere.
    """

    async def serve_or_refuse(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = _problem(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        served = app if problem is None else JSONResponse({"error": problem}, 403)
        await served(scope, receive, send_with_headers)

    return serve_or_refuse


def _problem(method: str, headers: Headers) -> str | None:
    """Say what is wrong with where a request comes from."""
    host = headers.get("host", "").lower()
    if not _OWN_HOST.fullmatch(host):
        # DNS rebinding: another site's name may point to this machine.
        return "this server answers to localhost and 127.0.0.1 only; open the address that it printed"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}":
        return "requests from other sites are refused"
    # The browser's own word on who asks. Following a link to the page itself is no harm.
    follows_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not follows_link:
        return "requests from other sites are refused"
    return None
