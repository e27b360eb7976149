"""The data folder `.fanfare`: its lock, its secrets, and the two files that tell other shells what runs.

`run.json` is for people and tests: it exists while everything is ready. `state.json` is for `fanfare status`:
it exists while `fanfare up` runs and is written again at each change.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fanfare.embedded.errors import UpError

__all__ = ["DataFolder", "NotRunningError", "write_atomically"]

# Everything we ever make in the folder; `reset` removes nothing else, whatever FANFARE_HOME points to.
OURS = (
    "kafka",
    "redis",
    "postgres",
    "logs",
    "secret",
    "admin.secret",
    "redis.secret",
    "postgres.secret",
    "run.json",
    "state.json",
    "control.sock",
    "up.lock",
)
SECRET_CHARACTERS = 64


class NotRunningError(UpError):
    """There is no `fanfare up` in this folder."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file that only its owner may read; readers see the old or the new content, never a part."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class DataFolder:
    """Paths and files below FANFARE_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().absolute()
        self.logs = self.home / "logs"
        self.run_file = self.home / "run.json"
        self.state_file = self.home / "state.json"
        self._lock_file = self.home / "up.lock"

    def make(self) -> None:
        """Create the folder, for us only.

        Raises:
            UpError: it cannot be created or written.

        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.home.chmod(0o700)
        except OSError as error:
            raise UpError(
                f"the data folder {self.home} cannot be used ({error.strerror}): "
                "remove what is in the way or set FANFARE_HOME"
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder as its only `fanfare up`; the kernel gives it back however we end.

        Raises:
            UpError: another one holds it.

        """
        try:
            fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UpError(
                f"{self._lock_file} cannot be written ({error.strerror}): is the folder another user's? "
                "Set FANFARE_HOME to one of your own"
            ) from None
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UpError(
                    f"fanfare is already running in this folder (pid {_pid_in(fd)}): "
                    "see `fanfare status`, or stop it with `fanfare down`"
                ) from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(fd)

    def holder(self) -> int | None:
        """The pid of the `fanfare up` that holds the folder, or None."""
        try:
            fd = os.open(self._lock_file, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _pid_in(fd)
        else:
            return None
        finally:
            os.close(fd)

    def secret(self, name: str) -> str:
        """A secret of our own, made at its first use and kept for ever after.

        Raises:
            UpError: the file is damaged; another secret in its place would void every token, or lock us out.

        """
        path = self.home / name
        try:
            text = path.read_text("ascii").strip()
            path.chmod(0o600)  # a copy that was put back may be open to others
        except FileNotFoundError:
            text = secrets.token_hex(SECRET_CHARACTERS // 2)
            write_atomically(path, text + "\n")
        except (OSError, UnicodeDecodeError):
            text = ""
        if len(text) != SECRET_CHARACTERS or not text.isalnum():
            raise UpError(
                f"{path} is damaged: put it back from a backup, or start afresh with `fanfare reset`"
            )
        return text

    def read_state(self) -> dict[str, Any]:
        """What the running `fanfare up` last wrote.

        Raises:
            NotRunningError: none runs here.

        """
        if self.holder() is None:
            raise NotRunningError(f"fanfare is not running in {self.home}: start it with `fanfare up`")
        try:
            state: dict[str, Any] = json.loads(self.state_file.read_text("utf-8"))
        except (OSError, ValueError):
            return {"processes": []}
        return state

    def forget_run(self) -> None:
        """Remove `run.json` and `state.json`."""
        self.run_file.unlink(missing_ok=True)
        self.state_file.unlink(missing_ok=True)

    def reset(self) -> None:
        """Remove all data.

        Raises:
            UpError: `fanfare up` runs here.

        """
        if not self.home.exists():
            return
        with self.locked():
            for name in OURS:
                path = self.home / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        if not any(self.home.iterdir()):
            self.home.rmdir()


def _pid_in(fd: int) -> int | None:
    text = os.pread(fd, 20, 0)
    return int(text) if text.isdigit() else None
