"""Files of messages: those that messages no longer have are removed from where they are kept."""

import asyncio
from typing import Final

from fanfare.files.store import FileStore, FilesUnavailableError
from fanfare.store.database import Database
from fanfare.store.errors import StoreUnavailableError
from fanfare.store.files import Files
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["Remover"]

_EVERY_S: Final = 2.0
_AT_ONCE: Final = 100


class Remover:
    """Removes what is due. Any number of archivers may do so: what is gone already does not matter."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._noted = Files(database)
        self._files = files
        self._log = logs.get("files")

    async def run(self) -> None:
        """Remove for ever."""
        away = False
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                while await self.remove():
                    pass
            except (FilesUnavailableError, StoreUnavailableError, OSError) as error:
                if not away:
                    self._log.warning("files are not removed", action=Action.FILES_AWAY, error=repr(error))
                away = True
            else:
                away = False

    async def remove(self) -> int:
        """Remove some of what is due; returns how many."""
        due = await self._noted.due_files(_AT_ONCE)
        for path in due:
            await self._files.remove(path)
        if due:
            await self._noted.removed_files(due)
        return len(due)
