"""The files of a message: those that come with it, those that an edit keeps, and what embeds say of them. Pure."""

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from fanfare.files.paths import plain_name
from fanfare.payloads import Json
from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import Form
from gateway.ingress.picture_heads import size_of

__all__ = [
    "MAX_FILES",
    "SCHEME",
    "Kept",
    "Part",
    "Upload",
    "attachment",
    "content_type_of",
    "kept_of",
    "read_files",
    "resolved",
    "too_many",
]

MAX_FILES: Final = 10
MAX_DESCRIPTION: Final = 1024
SCHEME: Final = "attachment"

_MARK: Final = f"{SCHEME}://"
_NAME_LENGTH: Final = 255
_types: Final = mimetypes.MimeTypes(filenames=())
# Not in every version's table.
_types.add_type("image/webp", ".webp")
_types.add_type("image/avif", ".avif")
_types.add_type("audio/ogg", ".ogg")


class Part(NamedTuple):
    """A file in the body of a request."""

    number: int
    """The n of `files[n]`."""
    filename: str
    content: bytes


class Upload(NamedTuple):
    """A file that a message is sent with."""

    name: str
    title: str
    """The name that it came with, where the other one differs."""
    description: str
    content: bytes


class Kept(NamedTuple):
    """A file that a message has already, and what is said of it from now on."""

    id: int
    description: str | None
    """None: as before."""


class _Listed(NamedTuple):
    id: int
    filename: str
    description: str | None


def read_files(form: Form, parts: Sequence[Part]) -> tuple[tuple[Upload, ...], tuple[Kept, ...] | None]:
    """The files of a message, from `attachments` and the parts of its body. Check the form afterwards.

    Returns:
        The new ones, and those that the message keeps; None for the latter: nothing is said of those.

    """
    listed = form.children("attachments", _listed, most=MAX_FILES)
    if not parts and not listed:  # as of nearly every message
        return (), None if listed is None else ()
    said = {one.id: one for one in listed or ()}
    files = {part.number: part for part in parts}
    kept = tuple(Kept(one.id, one.description) for one in listed or () if one.id not in files)
    uploads = tuple(_upload(part, said.get(part.number)) for part in parts)
    if len(uploads) + len(kept) > MAX_FILES:
        raise too_many()
    return uploads, None if listed is None else kept


def too_many() -> ApiError:
    """More files than a message may have."""
    return ApiError(400, 30015, f"Maximum number of attachments in a message reached ({MAX_FILES})")


def attachment(upload: Upload, ident: int, url: str) -> Json:
    """A file as messages show it."""
    found: Json = {
        "id": str(ident),
        "filename": upload.name,
        "size": len(upload.content),
        "url": url,
        "proxy_url": url,
        "content_type": content_type_of(upload.name),
    }
    if (size := size_of(upload.content)) is not None:
        found["width"], found["height"] = size
    if upload.title:
        found["title"] = upload.title
    if upload.description:
        found["description"] = upload.description
    return found


def content_type_of(name: str) -> str:
    """What kind of file it says to be, by the end of its name."""
    return _types.guess_type(name)[0] or "application/octet-stream"


def kept_of(message: Json, kept: Sequence[Kept] | None) -> list[Json]:
    """The files that a message has already, as they are after an edit.

    Args:
        message: as it was.
        kept: what the edit keeps; None: all of them.

    Raises:
        FormError: one of them is not the message's.

    """
    present: list[Json] = message["attachments"]
    if kept is None:
        return present
    known = {int(one["id"]): one for one in present}
    found = []
    for one in kept:
        if one.id not in known:
            said = f'"{one.id}" is neither a file of this message nor one that comes with the request.'
            raise FormError.at("attachments", "ATTACHMENT_NOT_FOUND", said)
        file = dict(known[one.id])
        if one.description is not None:
            file["description"] = one.description
        found.append(file)
    return found


def resolved(found: Any, files: Sequence[Json]) -> Any:
    """Embeds or components with the addresses of files in the place of attachment://NAME.

    Raises:
        FormError: there is no such file.

    """
    return _walk(found, {one["filename"]: one["url"] for one in files}) if found else found


def _walk(value: Any, urls: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _url(one, urls) if isinstance(one, str) and key.endswith("url") else _walk(one, urls)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_walk(one, urls) for one in value)
    return value


def _url(text: str, urls: Mapping[str, str]) -> str:
    if not text.startswith(_MARK):
        return text
    name = plain_name(text.removeprefix(_MARK))
    if name not in urls:
        said = f'There is no file "{name}" for {_MARK}{name}.'
        raise FormError.at("embeds", "ATTACHMENT_NOT_FOUND", said)
    return urls[name]


def _listed(form: Form) -> _Listed:
    return _Listed(
        form.snowflake("id", required=True) or 0,
        form.text("filename", longest=_NAME_LENGTH) or "",
        form.text("description", longest=MAX_DESCRIPTION),
    )


def _upload(part: Part, said: _Listed | None) -> Upload:
    original = (said.filename if said is not None else "") or part.filename
    name = plain_name(original)
    stem = original.rpartition(".")[0] or original
    title = stem[:MAX_DESCRIPTION] if original != name else ""
    return Upload(name, title, (said.description if said is not None else "") or "", part.content)
