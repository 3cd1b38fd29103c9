"""The addresses that the page asks, and their answers."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from specstyle.pages import SHARED, render
from specstyle.ui.jobs import Jobs, locked
from specstyle.ui.settings import FILMS, KINDS, MEDIA, fields, offers, once_strength, trained
from specstyle.ui.uploads import Uploads, shown
from specstyle.ui.words import Limits, Refusal

PAGE = Path(__file__).parent / "page"  # all files of the page but the player, which reports have, too

EXAMPLES = {
    "audio": {"once": ("trumpet", "fire"), "style": ("trumpet", "rainfall")},
    "image": {"once": ("cat", "the-scream"), "style": ("cat", "starry-night")},
}
"""By medium: content and style to try, at once and optimized."""

mimetypes.add_type("text/javascript", ".js")  # whatever this machine says of it
MAX_JSON = 65_536  # bytes of a request that is no file


def make_app(folder: Path, limits: Limits) -> Starlette:
    """Return the server's application; nothing but what is in its folder is served, within limits."""
    lock, uploads = locked(folder), Uploads(folder / "uploads", limits)
    jobs = Jobs(folder, limits, uploads)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        jobs.start()
        yield
        await run_in_threadpool(jobs.close)
        uploads.clear()
        lock.close()

    def page(_: Request) -> Response:
        return HTMLResponse(_page(limits))

    return Starlette(
        routes=[
            *_upload_routes(uploads, jobs, limits),
            *_job_routes(jobs),
            Route("/", page),
            Route("/index.html", page),
            *(Route(f"/{name}", StaticFiles(directory=SHARED)) for name in ("player.js", "player.css")),
            Mount("/", StaticFiles(directory=PAGE)),
        ],
        exception_handlers={HTTPException: _refused, Exception: _broken},
        lifespan=lifespan,
    )


def _page(limits: Limits) -> str:
    return render(
        PAGE / "index.html",
        kinds=KINDS,
        groups=fields(),
        trained={medium: trained(medium) for medium in MEDIA},
        examples=EXAMPLES,
        data={
            "recipes": {medium: offers(medium) for medium in MEDIA},
            "once": {medium: once_strength(medium) for medium in MEDIA},
            "examples": EXAMPLES,
            "films": FILMS,
            "limits": {"upload_mb": limits.upload_mb, "styles": limits.styles},
        },
    )


def _upload_routes(uploads: Uploads, jobs: Jobs, limits: Limits) -> list[Route]:
    async def receive(request: Request) -> Response:
        asked = request.query_params
        name = asked.get("name", "")
        if "job" in asked:
            path, save_as = jobs.get(asked["job"]).shown_file(asked.get("file", ""))
            upload = await run_in_threadpool(uploads.copy, path, name or save_as or path.name)
            return JSONResponse(upload.described(), 201)
        most = f"{limits.upload_mb:g} MB, the most that this server takes (--max-upload-mb)"
        _check_length(request, limits.upload_mb * 1e6, f"{shown(name)} is larger than {most}")
        try:
            path = await uploads.receive(request.stream())
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse((await run_in_threadpool(uploads.take_in, path, name)).described(), 201)

    def drop(request: Request) -> Response:
        uploads.drop(request.path_params["id"])
        return JSONResponse({})

    return [
        Route("/api/uploads", receive, methods=["POST"]),
        Route("/api/uploads/{id}", lambda r: JSONResponse(uploads.get(r.path_params["id"]).described())),
        Route("/api/uploads/{id}", drop, methods=["DELETE"]),
        Route(
            "/files/uploads/{id}/{name}", lambda r: FileResponse(uploads.shown_file(*r.path_params.values()))
        ),
    ]


def _job_routes(jobs: Jobs) -> list[Route]:
    async def add(request: Request) -> Response:
        return JSONResponse((await run_in_threadpool(jobs.add, await _json(request))).brief(), 201)

    async def foresee(request: Request) -> Response:
        return JSONResponse({"seconds": await run_in_threadpool(jobs.foreseen_s, await _json(request))})

    def change(request: Request) -> Response:
        known = {"stop": jobs.stop, "go-on": jobs.go_on, "": jobs.remove}
        what = known.get(request.path_params.get("what", ""))
        if what is None:
            raise Refusal("there is no such address", 404)
        what(request.path_params["id"])
        return JSONResponse({})

    def live(request: Request) -> Response:
        found = jobs.get(request.path_params["id"]).live
        if found is None or found.picture is None:
            raise Refusal("there is no picture of this job now", 404)
        return Response(found.picture[1], media_type="image/png")

    def show(request: Request) -> Response:
        path, save_as = jobs.get(request.path_params["id"]).shown_file(request.path_params["name"])
        return FileResponse(path, filename=save_as)

    return [
        Route("/api/jobs", add, methods=["POST"]),
        Route("/api/jobs", lambda _: JSONResponse(jobs.listed())),
        Route("/api/estimate", foresee, methods=["POST"]),
        Route("/api/jobs/{id}", lambda r: JSONResponse(jobs.get(r.path_params["id"]).described())),
        Route("/api/jobs/{id}", change, methods=["DELETE"]),
        Route("/api/jobs/{id}/{what}", change, methods=["POST"]),
        Route("/files/jobs/{id}/live.png", live),
        Route("/files/jobs/{id}/{name}", show),
    ]


async def _json(request: Request) -> dict[str, Any]:
    """Return the values of a request."""
    _check_length(request, MAX_JSON, "the request is too long")
    try:
        values = await request.json()
    except (ValueError, RecursionError, ClientDisconnect):
        values = None
    if not isinstance(values, dict):
        raise Refusal("the request is no JSON object")
    return values


def _check_length(request: Request, most: float, too_long: str) -> None:
    """Refuse a request by what it says of its length, before it is read."""
    length = request.headers.get("content-length", "")
    if not length or "transfer-encoding" in request.headers:
        raise Refusal("a request has to say how long it is", 411)
    if int(length) > most:
        raise Refusal(too_long, 413)


async def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, HTTPException) else Refusal(str(error))
    said = {"error": refusal.detail, "field": getattr(refusal, "field", "")}
    return JSONResponse(said, refusal.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the server failed: {type(error).__name__}; its terminal says more"}, 500)
