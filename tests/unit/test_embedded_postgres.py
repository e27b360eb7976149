"""Starting PostgreSQL after it was killed."""

import asyncio
import shutil
import subprocess

import pytest

from fanfare.embedded.postgres import _until_gone


@pytest.fixture
def killed(tmp_path):
    """A server that was killed, and that nobody has waited for."""
    program = tmp_path / "postgres"
    shutil.copy(shutil.which("cat"), program)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as server:
        # Once it answers it is called by its name.
        server.stdin.write(b"x")
        assert server.stdout.read(1) == b"x"
        server.kill()
        yield server


async def test_a_killed_server_is_waited_for(tmp_path, killed):
    (tmp_path / "postmaster.pid").write_text(f"{killed.pid}\n/data\n")
    waiting = asyncio.create_task(_until_gone(tmp_path, 60))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    killed.wait()
    await waiting


async def test_a_server_that_is_gone_or_was_never_there_is_not_waited_for(tmp_path):
    await _until_gone(tmp_path, 60)
    for text in ("", "x", "999999999\n"):
        (tmp_path / "postmaster.pid").write_text(text)
        await _until_gone(tmp_path, 60)
