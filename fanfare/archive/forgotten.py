"""Whose data is not kept in the Parquet files, whatever the log says when it is read again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fanfare.archive.folder import write_atomically

__all__ = ["AUTHORED", "Forgotten", "Users"]

# Events of messages that hold what their author wrote; of the others `author_id` is who did it.
AUTHORED: Final = ("MESSAGE_CREATE", "MESSAGE_UPDATE")
_AT: Final = {"messages": (3, 7, 8), "positions": (None, 6, 4)}


class Users(NamedTuple):
    """Users, and up to which time (ms since 1970) their data is not kept."""

    upto_ms: dict[int, int]

    def keeps(self, kind: str, row: Sequence[Any]) -> bool:
        """Whether a row, in the order of its columns, is kept."""
        if not self.upto_ms:
            return True
        type_, author, at = _AT[kind]
        theirs = row[at] <= self.upto_ms.get(row[author], -1)
        return not theirs or (type_ is not None and row[type_] not in AUTHORED)


class Forgotten:
    """The file that says so."""

    def __init__(self, root: Path) -> None:
        self._path = root / ".state" / "forgotten"

    def all(self) -> Users:
        """As it is now."""
        try:
            return Users(msgspec.json.decode(self._path.read_bytes(), type=dict[int, int], strict=False))
        except FileNotFoundError:
            return Users({})

    def add(self, user: int, upto_ms: int) -> None:
        """Note a user, before what there is is removed."""
        known = self.all().upto_ms
        known[user] = max(upto_ms, known.get(user, -1))
        write_atomically(self._path, msgspec.json.encode(known))
