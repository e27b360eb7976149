"""What stands in the Parquet files, and how they are written and read. Only this module imports pyarrow."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fanfare.archive.folder import synced
from fanfare.archive.forgotten import AUTHORED
from fanfare.archive.quotes import MARK, without_quote

__all__ = ["SCHEMAS", "count", "rows", "without", "write"]

_MOMENT: Final = pa.timestamp("ms", tz="UTC")
_LOG: Final = [
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("appended", _MOMENT),
]
# By kind. The first columns say where in the log a row comes from.
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "messages": pa.schema(
        [
            *_LOG,
            ("type", pa.string()),
            ("id", pa.int64()),
            ("guild_id", pa.int64()),
            ("channel_id", pa.int64()),
            ("author_id", pa.int64()),
            ("at", _MOMENT),
            ("payload", pa.string()),
        ]
    ),
    "positions": pa.schema(
        [
            *_LOG,
            ("entity_id", pa.int64()),
            ("at", _MOMENT),
            ("seq", pa.int64()),
            ("author_id", pa.int64()),
            ("lat", pa.float64()),
            ("lon", pa.float64()),
            ("accuracy_m", pa.float32()),
            ("heading_deg", pa.float32()),
            ("speed_mps", pa.float32()),
        ]
    ),
}


def write(path: Path, kind: str, found: Iterable[Sequence[Any]]) -> None:
    """Write a file whose content lasts when this returns; its name does not yet."""
    schema = SCHEMAS[kind]
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*found, strict=True), schema, strict=True)
    ]
    _write(path, pa.Table.from_arrays(columns, schema=schema))


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd")
    synced([path])


def rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a file, by column."""
    return list(pq.read_table(path).to_pylist())


def count(path: Path, kind: str, user: int, upto_ms: int) -> int:
    """How many rows of a file are a user's, or show what the user wrote."""
    table = pq.read_table(path)
    theirs = _theirs(table, kind, user, upto_ms)
    return sum(theirs) + sum(before != after for before, after in _payloads(table, kind, user))


def without(path: Path, target: Path, kind: str, user: int, upto_ms: int) -> int:
    """Write a file again without what is a user's, up to a time; how many rows that changes. At 0, nothing is written.

    A file that nothing is left of is written, too: its offsets are still archived.
    """
    table = pq.read_table(path)
    theirs = _theirs(table, kind, user, upto_ms)
    payloads = _payloads(table, kind, user)
    gone = (
        sum(theirs)
        + sum(before != after and not own for (before, after), own in zip(payloads, theirs, strict=True))
        if payloads
        else sum(theirs)
    )
    if gone:
        if payloads:
            column = pa.array([after for _, after in payloads], pa.string())
            table = table.set_column(
                table.schema.get_field_index("payload"), SCHEMAS[kind].field("payload"), column
            )
        _write(target, table.filter(pa.array([not own for own in theirs])))
    return gone


def _theirs(table: pa.Table, kind: str, user: int, upto_ms: int) -> list[bool]:
    found = pc.and_(
        pc.equal(table["author_id"], user), pc.less_equal(table["at"], pa.scalar(upto_ms, _MOMENT))
    )
    if kind == "messages":
        found = pc.and_(found, pc.is_in(table["type"], pa.array(AUTHORED)))
    return [bool(each) for each in found.to_pylist()]


def _payloads(table: pa.Table, kind: str, user: int) -> list[tuple[str, str]]:
    """Of each row, its payload, and what is left of that without the user's words."""
    if kind != "messages":
        return []
    return [
        (text, without_quote(text.encode(), user).decode() if MARK in text else text)
        for text in table["payload"].to_pylist()
    ]
