"""Keeps other sites out: a page of theirs in the same browser can reach this machine's ports, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


class Guard:
    """Lets only this machine's own pages in, and tells the browser to fetch nothing from elsewhere.

    Args:
        app: What it guards.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        problem = _problem(scope["method"], Headers(scope=scope))
        served = self._app if problem is None else JSONResponse({"error": problem}, 403)
        await served(scope, receive, send_with_headers)


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
