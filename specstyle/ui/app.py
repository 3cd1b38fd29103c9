"""The addresses that the page asks, and their answers."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from specstyle import __version__
from specstyle.ui.jobs import Jobs
from specstyle.ui.settings import BOUNDS, MEDIA, offers, read_settings
from specstyle.ui.uploads import Uploads
from specstyle.ui.words import Limits, Refusal

PAGE = Path(__file__).parent / "page"
"""All files of the page."""

mimetypes.add_type("text/javascript", ".js")  # whatever this machine says of it
MAX_JSON = 65_536
"""Bytes of a request that is no file."""


def make_app(folder: Path, limits: Limits) -> Starlette:
    """Return the server's application.

    Args:
        folder: Where uploads and jobs are kept; nothing else of this machine is served.
        limits: What is accepted.

    Raises:
        SpecstyleError: If the folder cannot be used.
    """
    jobs = Jobs(folder, limits)
    uploads = Uploads(folder / "uploads", limits)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        jobs.start()
        yield
        await run_in_threadpool(jobs.close)

    def page(request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    def options(request: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                "recipes": {medium: offers(medium) for medium in MEDIA},
                "bounds": BOUNDS,
                "upload_bytes": limits.upload_bytes,
                "upload_mb": limits.upload_mb,
                "styles": limits.styles,
            }
        )

    return Starlette(
        routes=[
            Route("/api/options", options),
            *_upload_routes(uploads),
            *_job_routes(jobs, uploads),
            Route("/", page),
            Mount("/", StaticFiles(directory=PAGE)),
        ],
        exception_handlers={HTTPException: _refused, Exception: _broken},
        lifespan=lifespan,
    )


def _upload_routes(uploads: Uploads) -> list[Route]:
    async def receive(request: Request) -> Response:
        name = request.query_params.get("name", "")
        length = request.headers.get("content-length", "")
        try:
            path = await uploads.receive(name, int(length) if length.isdecimal() else None, request.stream())
        except ClientDisconnect:
            return Response(status_code=400)
        upload = await run_in_threadpool(uploads.take_in, path, name)
        return JSONResponse(upload.described(), 201)

    def show(request: Request) -> Response:
        return FileResponse(uploads.shown_file(request.path_params["id"], request.path_params["name"]))

    return [Route("/api/uploads", receive, methods=["POST"]), Route("/files/uploads/{id}/{name}", show)]


def _job_routes(jobs: Jobs, uploads: Uploads) -> list[Route]:
    async def add(request: Request) -> Response:
        values = await _json(request)
        content, styles = uploads.get(values.get("content")), values.get("styles")
        if not isinstance(styles, list):
            raise Refusal("styles: expected a list of chosen files")
        given = [uploads.get(style) for style in styles]
        settings = read_settings(values.get("settings", {}), content.medium)
        entry = await run_in_threadpool(jobs.add, content, given, settings)
        return JSONResponse(entry.brief(), 201)

    def listed(request: Request) -> Response:
        return JSONResponse(jobs.listed())

    def described(request: Request) -> Response:
        return JSONResponse(jobs.get(request.path_params["id"]).described())

    def change(request: Request) -> Response:
        what = {"stop": jobs.stop, "go-on": jobs.go_on}.get(request.path_params["what"])
        if what is None:
            raise Refusal("there is no such address", 404)
        what(request.path_params["id"])
        return JSONResponse({})

    def remove(request: Request) -> Response:
        jobs.remove(request.path_params["id"])
        return JSONResponse({})

    def live(request: Request) -> Response:
        watch = jobs.get(request.path_params["id"]).watch
        picture = None if watch is None else watch.picture
        if picture is None:
            raise Refusal("there is no picture of this job now", 404)
        return Response(picture[1], media_type="image/png")

    def show(request: Request) -> Response:
        path, save_as = jobs.get(request.path_params["id"]).shown_file(request.path_params["name"])
        return FileResponse(path, filename=save_as)

    return [
        Route("/api/jobs", add, methods=["POST"]),
        Route("/api/jobs", listed),
        Route("/api/jobs/{id}", described),
        Route("/api/jobs/{id}", remove, methods=["DELETE"]),
        Route("/api/jobs/{id}/{what}", change, methods=["POST"]),
        Route("/files/jobs/{id}/live.png", live),
        Route("/files/jobs/{id}/{name}", show),
    ]


async def _json(request: Request) -> dict[str, Any]:
    """Return the values of a request, read no further than is sensible."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_JSON:
            raise Refusal("the request is too long", 413)
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Refusal("the request is no JSON object")
    return values


async def _refused(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, HTTPException) else Refusal(str(error))
    return JSONResponse({"error": refusal.detail}, refusal.status_code)


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the server failed: {type(error).__name__}; its terminal says more"}, 500)
