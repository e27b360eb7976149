"""The lock of Kafka's jars, and the check of every jar against it."""

import hashlib
from pathlib import Path

import pytest

from fanfare.embedded.errors import UpError
from fanfare.embedded.jars import LOCK, fetch, read_lock, verify

CONTENT = b"a jar"
ENTRY = """
[[dependencies]]
groupId = "org.example"
artifactId = "thing"
version = "1.0"
packaging = "jar"
sha256 = "{sha256}"
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jgo.lock.toml"
    path.write_text(ENTRY.format(sha256=hashlib.sha256(CONTENT).hexdigest()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "jars in a path with spaces"
    folder.mkdir()
    (folder / "thing-1.0.jar").write_bytes(CONTENT)
    return folder


def test_the_committed_lock_names_kafka_and_no_addresses() -> None:
    jars = read_lock()
    assert ("org.apache.kafka", "kafka_2.13", "4.3.1") in {
        (jar.group, jar.artifact, jar.version) for jar in jars
    }
    assert "kafka-tools" in {jar.artifact for jar in jars}
    assert "://" not in LOCK.read_text()


def test_whole_jars_are_accepted(folder: Path, lock: Path) -> None:
    assert verify(folder, lock) == [folder / "thing-1.0.jar"]


def test_nothing_is_fetched_when_all_is_there(folder: Path, lock: Path) -> None:
    said: list[str] = []
    fetch(folder, lock, said.append)
    assert said == []


def test_a_corrupted_jar_is_refused(folder: Path, lock: Path) -> None:
    (folder / "thing-1.0.jar").write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(UpError, match=r"thing-1\.0\.jar does not have the SHA-256 .* is not run"):
        verify(folder, lock)


def test_a_corrupted_jar_is_refused_by_the_set_up_too(folder: Path, lock: Path) -> None:
    (folder / "thing-1.0.jar").write_bytes(b"")
    with pytest.raises(UpError, match="delete it"):
        fetch(folder, lock, lambda _: None)


def test_a_missing_jar_is_named(folder: Path, lock: Path) -> None:
    (folder / "thing-1.0.jar").unlink()
    with pytest.raises(UpError, match="make setup"):
        verify(folder, lock)


def test_a_changed_hash_in_the_lock_refuses_the_jar(folder: Path, lock: Path) -> None:
    text = lock.read_text()
    digit = text.index('sha256 = "') + len('sha256 = "')
    lock.write_text(text[:digit] + ("0" if text[digit] != "0" else "1") + text[digit + 1 :])
    with pytest.raises(UpError, match="does not have the SHA-256"):
        verify(folder, lock)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('sha256 = "', 'sha256 = "x'),
        ('sha256 = "', 'sha512 = "'),
        ('artifactId = "thing"', 'artifactId = "../thing"'),
        ('version = "1.0"', "version = 1.0"),
        ("[[dependencies]]", "[[dependencies"),
        ("[[dependencies]]", "[[others]]"),
    ],
)
def test_a_damaged_line_of_the_lock_is_said(folder: Path, lock: Path, old: str, new: str) -> None:
    lock.write_text(lock.read_text().replace(old, new))
    with pytest.raises(UpError, match="git checkout"):
        verify(folder, lock)


def test_a_missing_lock_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UpError, match="git checkout"):
        verify(folder, tmp_path / "none.toml")
