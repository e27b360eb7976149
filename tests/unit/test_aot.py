"""The recorded cache of Kafka's start: used only when it is whole and made for these jars."""

import os
from pathlib import Path

import pytest

from fanfare.embedded import aot


@pytest.fixture
def jars(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "with spaces" / "kafka"
    folder.mkdir(parents=True)
    (folder / "a.jar").write_bytes(b"a")
    return [folder / "a.jar"]


async def train(options: list[str]) -> None:
    """Writes what Java would."""
    Path(options[0].removeprefix("-XX:AOTCacheOutput=")).write_bytes(b"cache")  # noqa: ASYNC240 - tiny


async def test_it_is_recorded_once_and_then_used(jars: list[Path]) -> None:
    assert aot.options(jars) == []
    await aot.record(jars, train)
    cache = jars[0].parents[1] / "kafka.aot"
    assert aot.options(jars) == [f"-XX:AOTCache={cache}", "-Xlog:disable"]

    async def never(_: list[str]) -> None:
        raise AssertionError("recorded again")

    await aot.record(jars, never)


async def test_a_damaged_cache_is_not_used(jars: list[Path]) -> None:
    await aot.record(jars, train)
    (jars[0].parents[1] / "kafka.aot").write_bytes(b"cachf")
    assert aot.options(jars) == []


async def test_a_cache_for_other_jars_is_not_used(jars: list[Path]) -> None:
    await aot.record(jars, train)
    os.utime(jars[0], ns=(1, 1))
    assert aot.options(jars) == []


@pytest.mark.parametrize("label", ["", "{}", "[1]"])
async def test_a_damaged_label_is_no_label(jars: list[Path], label: str) -> None:
    await aot.record(jars, train)
    (jars[0].parents[1] / "kafka.aot.json").write_text(label)
    assert aot.options(jars) == []
