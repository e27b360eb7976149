"""Serving files. A path is unguessable, so who has one may read the file: no token is asked for.

What somebody has uploaded must not run in the place of the application that shows it: the browser takes the type that
is said and no other, a page or a drawing with scripts in it is only saved, and nothing in it loads or runs anything.
"""

from typing import Final

from aiohttp import web

from fanfare.files.store import FileStore
from gateway.ingress.attachments import content_type_of
from gateway.ingress.errors import not_found
from gateway.rest.protocol import CORS
from gateway.rest.server import identified

__all__ = ["headers_of", "serve"]

# What is shown in its place; everything else is saved as a file.
_SHOWN: Final = frozenset(
    {
        "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/mp4", "video/webm",
        "video/quicktime", "audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav", "audio/flac", "text/plain",
    }
)  # fmt: skip


async def serve(files: FileStore, request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD, whole or a part (RFC 9110, section 14)."""
    request["route"] = "/attachments"
    parts = request.match_info
    path = f"{parts['channel']}/{parts['file']}/{parts['token']}/{parts['name']}"
    size = await files.size(path)
    if size is None:
        raise not_found()
    # As good as a token: the connection is somebody's who can see the file.
    identified(request)
    start, end = _part(request, size)
    headers = headers_of(parts["name"]) | {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if end - start != size:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response = web.StreamResponse(status=206 if end - start != size else 200, headers=headers)
    if request.method == "HEAD" or not size:
        await response.prepare(request)
        return response
    found = await files.open(path, (start, end))
    if found is None:
        raise not_found()
    await response.prepare(request)
    async for chunk in found.chunks:
        await response.write(chunk)
    await response.write_eof()
    return response


def headers_of(name: str) -> dict[str, str]:
    """What is said of a file."""
    kind = content_type_of(name)
    shown = kind in _SHOWN
    return CORS | {
        "Content-Type": (f"{kind}; charset=utf-8" if kind == "text/plain" else kind)
        if shown
        else "application/octet-stream",
        "Content-Disposition": f'{"inline" if shown else "attachment"}; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=3600",
    }


def _part(request: web.Request, size: int) -> tuple[int, int]:
    """What is asked for, as [start, end)."""
    try:
        asked = request.http_range
    except ValueError:
        return 0, size  # what is no range is ignored
    start, end = asked.start, asked.stop
    if start is None:
        return 0, size
    if start < 0:
        return max(size + start, 0), size
    if start >= size:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, min(size if end is None else end, size)
