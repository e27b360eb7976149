"""The data folder: lock, secrets, files, reset."""

import stat
from pathlib import Path

import pytest

from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, NotRunningError, write_atomically


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data folder")
    folder.make()
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_we_may_look_into_it(folder: DataFolder) -> None:
    folder.secret("secret")
    assert mode(folder.home) == 0o700
    assert mode(folder.home / "secret") == 0o600


def test_a_secret_is_made_once(folder: DataFolder) -> None:
    assert folder.secret("secret") == folder.secret("secret") != folder.secret("redis.secret")


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe", b"0" * 63 + b"-\n"])
def test_a_damaged_secret_is_not_replaced(folder: DataFolder, content: bytes) -> None:
    (folder.home / "secret").write_bytes(content)
    with pytest.raises(UpError, match=r"damaged.*fanfare reset"):
        folder.secret("secret")
    assert (folder.home / "secret").read_bytes() == content


def test_one_holder_at_a_time(folder: DataFolder) -> None:
    assert folder.holder() is None
    with folder.locked():
        assert folder.holder() is not None
        with pytest.raises(UpError, match="already running in this folder"), DataFolder(folder.home).locked():
            pass
    assert folder.holder() is None


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UpError, match="FANFARE_HOME"):
        DataFolder(tmp_path / "file").make()


def test_files_are_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_reset_removes_what_is_ours_and_nothing_else(folder: DataFolder) -> None:
    folder.secret("secret")
    (folder.home / "kafka").mkdir()
    (folder.home / "notes.txt").write_text("mine")
    folder.reset()
    assert [path.name for path in folder.home.iterdir()] == ["notes.txt"]


def test_reset_of_nothing_and_of_everything(tmp_path: Path, folder: DataFolder) -> None:
    DataFolder(tmp_path / "none").reset()
    folder.reset()
    assert not folder.home.exists()


def test_reset_refuses_while_it_runs(folder: DataFolder) -> None:
    folder.secret("secret")
    with folder.locked(), pytest.raises(UpError, match="already running"):
        DataFolder(folder.home).reset()
    assert (folder.home / "secret").exists()


def test_state_without_a_holder_is_not_believed(folder: DataFolder) -> None:
    write_atomically(folder.state_file, '{"processes": [{"name": "ghost"}]}')
    with pytest.raises(NotRunningError, match="fanfare up"):
        folder.read_state()
