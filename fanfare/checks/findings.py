"""What a check finds. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Finding", "Level", "error", "refusals", "waits", "warning"]


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """A process refuses to start: going on would lose or mix up messages, or cannot work."""
    WAITS = "waits"
    """A process starts and waits, and goes on by itself when it is mended."""
    WARNING = "warning"
    """It works, and is likely not meant."""


class Finding(NamedTuple):
    """One of them; `said` names the thing and says what to do."""

    level: Level
    about: str
    said: str


def error(about: str, said: str) -> Finding:
    """A finding with which no process starts."""
    return Finding(Level.ERROR, about, said)


def waits(about: str, said: str) -> Finding:
    """A finding that a process waits out."""
    return Finding(Level.WAITS, about, said)


def warning(about: str, said: str) -> Finding:
    """A finding that only is said."""
    return Finding(Level.WARNING, about, said)


def refusals(found: Iterable[Finding]) -> str:
    """All errors in one text, or ''."""
    return "; ".join(f"{one.about}: {one.said}" for one in found if one.level is Level.ERROR)
