"""Serves the page on this machine, and to who knows its address only."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from specstyle.errors import SpecstyleError
from specstyle.ui.app import make_app
from specstyle.ui.words import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"  # the only address: nobody else's machine reaches it
CONNECTIONS = 400  # of all pages at once; more are told to come again
LOG_LINES = 200  # of what the server writes on its terminal, at most
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def serve(
    folder: Path, *, port: int, limits: Limits, browser: bool, on_address: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C; what is written meanwhile is for this user alone.

    Args:
        folder: Where uploads and jobs are kept.
        port: 0 takes one that is free.
        limits: What is accepted.
        browser: Open the page.
        on_address: Called with the page's address, when it can be opened.

    Raises:
        SpecstyleError: If the port or the folder cannot be used.
    """
    os.umask(0o077)
    listener = listen(port)
    try:
        app, token = make_app(folder.resolve(), limits), token_of(folder)
        server = make_server(app, token, limits)
        address = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        on_address(address)
        if browser:  # by a file of this user's, since others see the command lines of processes
            door = folder.resolve() / "page.html"
            door.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">', "utf-8")
            threading.Thread(target=webbrowser.open, args=(door.as_uri(),), daemon=True).start()
        server.run(sockets=[listener])
    finally:
        listener.close()


def token_of(folder: Path) -> str:
    """Return the secret part of the address: the same each time for the same folder, so that links last."""
    path = folder / "token"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if len(found := path.read_text("ascii").strip()) == 32 and found.isalnum():
            return found
    path.write_text(token := secrets.token_hex(16), "ascii")
    return token


def make_server(app: ASGIApp, token: str, limits: Limits) -> uvicorn.Server:
    """Return what serves an application on a socket, to this machine's own pages."""
    lines = itertools.count()
    logging.getLogger("uvicorn.error").addFilter(lambda _: next(lines) < LOG_LINES)

    class Protocol(H11Protocol):
        """Ends a connection on which nothing is asked, or nothing whole."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(limits.idle_s, self._end_if_silent, None)

        def _end_if_silent(self, before: Any) -> None:
            cycle: Any = self.cycle  # of the last request that was whole
            if cycle is before and (cycle is None or cycle.response_complete):
                self.transport.close()
            elif not self.transport.is_closing():
                self.loop.call_later(limits.idle_s, self._end_if_silent, cycle)

    return uvicorn.Server(
        uvicorn.Config(
            guarded(app, token, limits),
            http=Protocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=round(limits.idle_s),
            timeout_graceful_shutdown=3,
        )
    )


def listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine; ``SpecstyleError`` if the port is not to be had."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecstyleError(f"port {port} cannot be used: {reason}; name another one with --port") from error


def guarded(app: ASGIApp, token: str, limits: Limits) -> ASGIApp:
    """Return an application that only who knows the token reaches, from this machine's own pages.

    A page of another site in the same browser can reach this machine's ports, too, and so can other users.
    The browser is told to fetch nothing from elsewhere.
    """

    async def serve_or_refuse(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        async def receive_soon() -> Message:
            try:
                return await asyncio.wait_for(receive(), limits.idle_s)
            except asyncio.TimeoutError:
                return {"type": "http.disconnect"}

        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        problem = _problem(scope["path"], token, Headers(scope=scope))
        served = app if problem is None else JSONResponse({"error": problem}, 403)
        # At a NUL in a file's name Python 3.10 raises; there is no file of the other name either.
        where = {"path": scope["path"].replace("\0", "\ufffd"), "root_path": f"/{token}"}
        await served({**scope, **where}, receive_soon, send_with_headers)

    # Another site's name may point to this machine (DNS rebinding).
    return TrustedHostMiddleware(serve_or_refuse, allowed_hosts=["localhost", HOST], www_redirect=False)


def _problem(path: str, token: str, headers: Headers) -> str | None:
    """Say what is wrong with where a request comes from."""
    first = path.split("/")[1] if path.count("/") > 1 else ""
    if not secrets.compare_digest(first.encode(), token.encode()):
        return "open the address that `specstyle ui` printed"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{headers.get('host', '')}".lower():
        return "requests from other sites are refused"
    # The browser's own word on who asks. The page itself may be opened from a link or a file.
    opens = headers.get("sec-fetch-mode") == "navigate" and path == f"/{token}/"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opens:
        return "requests from other sites are refused"
    return None
