"""The files of `web/`, read once, with the headers that keep a page to itself.

There is a route for each file that is there: no path of a request ever becomes a path of the file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Asset", "asset_of", "assets", "headers"]

# Beside the services' packages, in the repository and where a wheel was installed.
_FOLDER: Final = Path(__file__).parents[2] / "web"
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_PAGES: Final = {"index.html": "/", "live.html": "/live"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    path: str
    """Of the URL."""
    body: bytes
    content_type: str
    etag: str
    """In quotes."""


def assets(folder: Path = _FOLDER) -> list[Asset]:
    """All files that are served: the pages, and the rest below `/assets/`."""
    found = []
    for file in sorted(folder.rglob("*")):
        kind = _TYPES.get(file.suffix)
        if kind is None or not file.is_file():
            continue
        name = file.relative_to(folder).as_posix()
        found.append(asset_of(_PAGES.get(name) or f"/assets/{name}", file.read_bytes(), kind))
    return found


def asset_of(path: str, body: bytes, kind: str) -> Asset:
    """What is served at a path. Args: kind: its content type, without a charset."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    charset = "" if kind.startswith("image/png") else "; charset=utf-8"
    return Asset(path, body, kind + charset, etag)


def headers(gateway: str) -> Mapping[str, str]:
    """What every answer to a browser says besides.

    Args:
        gateway: the websocket URL that clients are given: the only other place that a page may connect to.

    """
    url = urlsplit(gateway)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "media-src": "'self' blob:",
        "connect-src": f"'self' {url.scheme}://{url.netloc}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # Text that becomes HTML or a program is refused by the browser, should the code ever try.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
