"""Kafka's jars: fetched by what jgo's lock names, and never run unless their SHA-256 is the one in it.

jgo itself does not verify its lock, and resolving the dependencies again takes half a minute; the lock names
every jar, so each is fetched by its coordinates and moved into place only when its hash is right.
"""

import hashlib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanfare.embedded.errors import UpError

__all__ = ["LOCK", "Jar", "default_folder", "fetch", "read_lock", "verify"]

LOCK = Path(__file__).parent / "apache-kafka" / "jgo.lock.toml"
SHA256 = re.compile(r"[0-9a-f]{64}")
# A part of a file name or a folder of a Maven repository; nothing that could lead out of it.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
FETCHES_AT_ONCE = 6
TIMEOUT_S = 30


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the file, the same as in a Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def default_folder() -> Path:
    """Where the jars are kept: `.jgo` beside the source, else in the user's cache."""
    source = Path(__file__).parents[2]
    if (source / "pyproject.toml").exists():
        return source / ".jgo" / "kafka"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "fanfare" / "kafka"


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars that a lock names, in class path order.

    Raises:
        UpError: the lock is missing or damaged.

    """
    try:
        entries = tomllib.loads(lock.read_text("utf-8"))["dependencies"]
        jars = [
            Jar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"]) for entry in entries
        ]
        wrong = [jar for jar in jars if not _plausible(jar)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UpError(f"{lock} cannot be read ({error}): put it back with `git checkout`") from None
    if wrong or not jars:
        what = f"the entry of {wrong[0].artifact}" if wrong else "its list"
        raise UpError(f"{lock} is damaged at {what}: put it back with `git checkout`")
    return jars


def _plausible(jar: Jar) -> bool:
    return bool(
        all(NAME.fullmatch(text) for text in (jar.group, jar.artifact, jar.version))
        and SHA256.fullmatch(jar.sha256)
    )


def verify(folder: Path, lock: Path = LOCK) -> list[Path]:
    """Hash every jar; answers their paths in class path order.

    Raises:
        UpError: a jar is missing or differs from the lock.

    """
    paths = []
    for jar in read_lock(lock):
        path = folder / jar.file_name
        if not path.exists():
            raise UpError(f"Kafka's jars are not complete ({path} is missing): run `make setup`")
        _check(path, jar)
        paths.append(path)
    return paths


def _check(path: Path, jar: Jar) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise UpError(
            f"{path} does not have the SHA-256 that {LOCK.name} names and is not run: "
            "delete it, check that the lock is the committed one, and run `make setup`"
        )


def fetch(folder: Path, lock: Path = LOCK, say: Callable[[str], None] = print) -> None:
    """Fetch the jars that are missing, then verify all of them.

    Raises:
        UpError: there is no network, or a jar differs from the lock.

    """
    missing = [jar for jar in read_lock(lock) if not (folder / jar.file_name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        say(f"Fetching {len(missing)} jars of Apache Kafka")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch:
            _fetch_all(missing, folder, Path(scratch), say)
    verify(folder, lock)


def _fetch_all(missing: list[Jar], folder: Path, scratch: Path, say: Callable[[str], None]) -> None:
    from jgo.config import GlobalSettings  # noqa: PLC0415 - slow to import, and needed once
    from jgo.maven import MavenContext  # noqa: PLC0415

    # Mirrors are what the user's jgo configuration says; without any, jgo's own default.
    mirrors = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=scratch, remote_repos=mirrors, timeout=TIMEOUT_S)
    size = 0
    with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
        fetches = {pool.submit(_fetch_one, context, jar, folder): jar for jar in missing}
        try:
            for number, done in enumerate(as_completed(fetches), 1):
                size += done.result()
                if number % 10 == 0 or number == len(missing):
                    say(f"  {number} of {len(missing)} jars, {size / 1e6:.0f} MB")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(context: Any, jar: Jar, folder: Path) -> int:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        fetched = Path(context.resolver.download(artifact))
    except Exception as error:  # noqa: BLE001 - jgo and its HTTP library raise many kinds
        reason = type(error).__name__
        raise UpError(
            f"{jar.file_name} could not be fetched ({reason}): check the network (or the repositories "
            "in jgo's configuration) and run `make setup` again; what is there already is kept"
        ) from None
    _check(fetched, jar)
    size = fetched.stat().st_size
    shutil.move(fetched, folder / jar.file_name)
    return size
