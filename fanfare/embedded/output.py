"""Where the lines of the children go: to the terminal with a coloured prefix, and to one log file each."""

import datetime as dt
import sys
from collections import deque
from pathlib import Path
from typing import TextIO

from honcho.printer import Message, Printer

__all__ = ["LogFile", "Output"]

# A log file that has grown past this becomes NAME.log.1, which replaces the one before it.
LOG_BYTES = 16 * 1024 * 1024
TAIL_LINES = 200
# ANSI colours that can be read on light and on dark.
COLOURS = ("36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1")
OWN_COLOUR = "1"


class LogFile:
    """The log of one process, bounded in size, with its last lines at hand for error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, line: bytes) -> None:
        """Append a line, given without its end."""
        self.tail.append(line.decode("utf-8", "replace"))
        if self._size > LOG_BYTES:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self.path.open("ab", buffering=0)
            self._size = 0
        self._file.write(line + b"\n")
        self._size += len(line) + 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Output:
    """The terminal: one stream of prefixed lines. A terminal that went away is no reason to stop."""

    def __init__(self, stream: TextIO | None = None, *, children: bool = True) -> None:
        """`children` is false if only our own lines are wanted: each child has a log of its own anyway."""
        self._printer = Printer(stream or sys.stdout, width=len("notifier.1"))
        self._children = children
        self._colours: dict[str, str] = {}

    def say(self, line: str) -> None:
        """A line of `fanfare up` itself."""
        self._print("fanfare", line, OWN_COLOUR)

    def child(self, name: str, line: bytes) -> None:
        """A line of a child."""
        if not self._children:
            return
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        self._print(name, line.decode("utf-8", "replace"), colour)

    def _print(self, name: str, line: str, colour: str) -> None:
        now = dt.datetime.now().astimezone()
        message = Message(type="line", data=line or " ", time=now, name=name, colour=colour)
        try:
            self._printer.write(message)
        except OSError:
            self._printer.output = _Nowhere()


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None
