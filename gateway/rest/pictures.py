"""Serving the pictures of emojis and guilds: to everybody, as Discord's do."""

import hashlib
from typing import Final

from aiohttp import web

from fanfare.files.store import FileStore
from gateway.ingress.errors import not_found
from gateway.ingress.picture_heads import kind_of
from gateway.rest.attachments import headers_of
from gateway.rest.server import identified

__all__ = ["EMOJI", "ICON", "emoji_path", "icon_name", "icon_path", "serve_picture"]

EMOJI: Final = "/emojis/{id:[0-9]{1,20}}.{kind:png|gif|jpeg|jpg|webp}"
ICON: Final = "/icons/{id:[0-9]{1,20}}/{name:[0-9a-f]{32}}.{kind:png|gif|jpeg|jpg|webp}"


def emoji_path(ident: int) -> str:
    """Where the picture of an emoji is kept."""
    return f"emojis/{ident}"


def icon_path(guild: int, name: str) -> str:
    """Where a picture of a guild is kept."""
    return f"icons/{guild}/{name}"


def icon_name(content: bytes) -> str:
    """What a picture of a guild is called: another picture has another name."""
    return hashlib.blake2s(content, digest_size=16).hexdigest()


async def serve_picture(files: FileStore, request: web.Request) -> web.StreamResponse:
    """Answer GET and HEAD. Whatever ending is asked for, the picture comes as it was made."""
    parts = request.match_info
    request["route"] = "/icons" if "name" in parts else "/emojis"
    path = icon_path(int(parts["id"]), parts["name"]) if "name" in parts else emoji_path(int(parts["id"]))
    found = await files.open(path)
    if found is None:
        raise not_found()
    content = b"".join([chunk async for chunk in found.chunks])
    identified(request)
    return web.Response(body=content, headers=headers_of(f"picture.{kind_of(content) or 'bin'}"))
