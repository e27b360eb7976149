"""Files of messages, stored before the message is accepted.

A file is noted in the database as one to be removed before it is stored. The archiver takes the note away when it
archives the message, and sets it again when the message loses the file. So a file whose message was never accepted does
not stay, whichever process dies.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from fanfare.constants import FILES_UNCLAIMED_S
from fanfare.files.paths import PREFIX, TOKEN_BYTES, key_of, path_of
from fanfare.files.store import FileStore, FilesUnavailableError
from fanfare.payloads import Json
from fanfare.store.errors import StoreUnavailableError
from gateway.ingress.attachments import Upload, attachment
from gateway.ingress.errors import RefusedError, UnknownOutcomeError
from gateway.ingress.interfaces import Ids, Stored

__all__ = ["UploadStore"]

_UPLOAD_S: Final = 25.0


class UploadStore:
    """Stores the files of messages of this node."""

    def __init__(self, files: FileStore, store: Stored, ids: Ids, base: str) -> None:
        """Args: files: where to; store: the database; ids: snowflakes; base: what the URLs begin with."""
        self._files = files
        self._store = store
        self._ids = ids
        self._base = base

    async def keep(self, channel: int, uploads: Sequence[Upload]) -> list[Json]:
        """Store files; as the message shows them.

        Raises:
            RefusedError: they are not stored.

        """
        if not uploads:
            return []
        named = [
            (
                ident := self._ids.next_id(),
                path_of(channel, ident, secrets.token_urlsafe(TOKEN_BYTES), one.name),
            )
            for one in uploads
        ]
        try:
            async with asyncio.timeout(_UPLOAD_S):
                await self._store.note_files([path for _, path in named], after_s=FILES_UNCLAIMED_S)
                for (_, path), one in zip(named, uploads, strict=True):
                    await self._files.put(path, one.content)
        except (FilesUnavailableError, TimeoutError) as error:
            await self._forget([path for _, path in named])
            raise RefusedError(f"the store of files is away: {error}") from error
        except StoreUnavailableError as error:
            raise RefusedError("PostgreSQL is away") from error
        except BaseException:
            await self._forget([path for _, path in named])
            raise
        return [
            attachment(one, ident, self._base + PREFIX + path)
            for (ident, path), one in zip(named, uploads, strict=True)
        ]

    @asynccontextmanager
    async def kept(self, attachments: Sequence[Json]) -> AsyncIterator[None]:
        """While the message with these files is sent: if it is refused in the block, the files go."""
        try:
            yield
        except UnknownOutcomeError:
            raise
        except BaseException:
            await self.drop(attachments)
            raise

    async def drop(self, attachments: Sequence[Json]) -> None:
        """The message was not accepted: its files go soon."""
        await self._forget([key for one in attachments if (key := key_of(one["url"])) is not None])

    async def _forget(self, paths: list[str]) -> None:
        if paths:
            # If the database is away, they go when their time is over.
            with suppress(StoreUnavailableError, TimeoutError):
                await self._store.note_files(paths, after_s=0)
