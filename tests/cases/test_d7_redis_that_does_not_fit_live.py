"""A Redis that would lose what waits for clients, or is not the primary, is refused at the start and named."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis as BlockingRedis
from redis.exceptions import RedisError

from fanfare.checks.findings import Level
from fanfare.checks.redis import check_redis
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.valkey import prepare_valkey
from fanfare.settings import Settings
from tests.stack import Stack, clean_environment

READY_S = 30


@contextmanager
def valkey(home: Path, **settings: str) -> Iterator[str]:
    """A Valkey that runs inside the block, with settings with `_` for the hyphens: its URL."""
    folder = DataFolder(home)
    folder.make()
    url, spec = prepare_valkey(folder, 0)
    config = folder.home / "redis" / "valkey.conf"
    config.write_text(
        config.read_text()
        + "".join(f"{name.replace('_', '-')} {value}\n" for name, value in settings.items())
    )
    with spec.log.open("wb") as log:
        process = subprocess.Popen(spec.command, env=spec.env, stdout=log, stderr=log)
        try:
            _wait(url)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=READY_S)


def _wait(url: str) -> None:
    until = time.monotonic() + READY_S
    with BlockingRedis.from_url(url) as client:
        while not _answers(client):
            assert time.monotonic() < until
            time.sleep(0.05)


def _answers(client: BlockingRedis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
        ({"maxmemory": "1gb", "maxmemory_policy": "volatile-lru"}, "maxmemory-policy is volatile-lru"),
        ({"cluster_enabled": "yes"}, "cluster"),
        ({"replicaof": "127.0.0.1 1"}, "replica: give the address of its primary, 127.0.0.1:1"),
    ],
)
async def test_a_redis_that_does_not_fit_is_refused(tmp_path, settings, says):
    with valkey(tmp_path, **settings) as url:
        found = await check_redis(Settings(redis=SecretStr(url)), ["notifier"])
    assert any(says in one.said for one in found if one.level is Level.ERROR), found


async def test_a_redis_as_it_has_to_be_is_taken(tmp_path):
    with valkey(tmp_path) as url:
        assert await check_redis(Settings(redis=SecretStr(url)), ["gateway", "notifier"]) == []
        (found,) = await check_redis(Settings(redis=SecretStr(url.replace("/0", "/99"))), ["notifier"])
        assert "no database of the number" in found.said


def test_a_process_says_so_and_ends_with_status_2(tmp_path: Path, stores: Stack):
    with valkey(tmp_path, maxmemory_policy="allkeys-lfu") as url:
        given = {
            name.removeprefix("FANFARE_").lower(): value for name, value in stores.store_settings().items()
        }
        done = subprocess.run(
            [sys.executable, "-m", "notifier"],
            env=clean_environment(tmp_path, **given | {"redis": url}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    assert "maxmemory-policy is allkeys-lfu" in done.stderr
    assert "noeviction" in done.stderr
