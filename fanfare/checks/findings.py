"""What a check finds. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Finding", "Level", "error", "refusals", "waits", "warning"]


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """A process refuses to start: it could not work, or would lose or mix up messages."""
    WAITS = "waits"
    """A process starts and waits, and goes on by itself when the trouble is mended."""
    WARNING = "warning"
    """It works, but was probably not meant so."""


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
    """A finding that is only logged."""
    return Finding(Level.WARNING, about, said)


def refusals(found: Iterable[Finding]) -> str:
    """All errors in one text, or ''."""
    return "; ".join(f"{one.about}: {one.said}" for one in found if one.level is Level.ERROR)
