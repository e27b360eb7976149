"""A folder, or a bucket of an S3-compatible store, that keeps files: obstore talks to either."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from fanfare.settings import Settings

__all__ = ["FileStore", "FilesUnavailableError", "Opened"]

_CHUNK: Final = 64 * 1024
_TIMEOUT: Final = "20s"
_CONNECT_TIMEOUT: Final = "3s"
_RETRIES: Final = 2


class FilesUnavailableError(Exception):
    """The store of files is away, or refuses."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, or a part of one."""

    size: int
    """How many bytes come."""
    chunks: AsyncIterator[bytes]


class FileStore:
    """Files by their paths. Every call raises FilesUnavailableError while the store is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Any = None

    async def put(self, path: str, content: bytes) -> None:
        """Keep a file."""
        try:
            await obstore.put_async(self._store(), path, content)
        except (BaseError, OSError) as error:
            raise _away(error) from error

    async def size(self, path: str) -> int | None:
        """How many bytes a file has; None: there is none."""
        try:
            found = await obstore.head_async(self._store(), path)
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _away(error) from error
        return found["size"]

    async def open(self, path: str, part: tuple[int, int] | None = None) -> Opened | None:
        """A file; None: there is none. Args: path: which; part: [start, end) of it, within its size."""
        try:
            options = {"range": part} if part is not None else None
            found = await obstore.get_async(self._store(), path, options=cast("Any", options))
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _away(error) from error
        return Opened(found.range[1] - found.range[0], _chunks(found))

    async def remove(self, path: str) -> None:
        """Forget a file, if it is there."""
        try:
            await obstore.delete_async(self._store(), path)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise _away(error) from error

    def _store(self) -> Any:
        if self._opened is None:
            self._opened = _opened(self._settings)
        return self._opened


def _opened(settings: Settings) -> LocalStore | S3Store:
    where = settings.files
    if not where.startswith("s3://"):
        folder = Path(where) if where else settings.home / "files"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(prefix=folder.resolve(), automatic_cleanup=True)
    bucket = urlsplit(where)
    options: dict[str, Any] = {
        "region": settings.s3_region,
        "client_options": {"allow_http": True, "timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT},
        "retry_config": {"max_retries": _RETRIES},
    }
    if settings.s3_endpoint:
        options |= {"endpoint": settings.s3_endpoint, "virtual_hosted_style_request": False}
    if key := settings.s3_key.get_secret_value():
        options |= {"access_key_id": key, "secret_access_key": settings.s3_secret.get_secret_value()}
    return S3Store(bucket.netloc, prefix=bucket.path.strip("/") or None, **options)


async def _chunks(found: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in found.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)
    except (BaseError, OSError) as error:
        raise _away(error) from error


def _away(error: Exception) -> FilesUnavailableError:
    # The first line says what went wrong; what follows is for those who debug the library.
    return FilesUnavailableError(str(error).partition("\n")[0][:300])
