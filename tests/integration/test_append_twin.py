"""The model's Python twin of the inbox scripts answers what the scripts on a real Valkey answer."""

import uuid
from collections.abc import AsyncIterator
from random import Random

import pytest
from redis.asyncio import Redis

from fanfare.constants import S_EPOCH_MS, S_SHIFT
from fanfare.presence import inboxes
from fanfare.presence.client import connect
from fanfare.presence.inboxes import APPEND
from fanfare.record import FENCE, GUILD, INBOXES, USERS, Record
from tests.integration.store_fixtures import settings_of
from tests.model import append as twin
from tests.stack import Stack

pytestmark = pytest.mark.system
CAP = 1 << 30
SEEDS = range(20)


@pytest.fixture
async def redis(stores: Stack) -> AsyncIterator[Redis]:
    client = connect(settings_of(stores.run))
    await APPEND.load(client)
    yield client
    await client.aclose()


async def now_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def batch(random: Random, at: dict[int, int]) -> list[Record]:
    """Records as notifiers send them: rising in each partition, but for what comes again."""
    records = []
    for _ in range(random.randint(1, 6)):
        partition = random.randint(0, 2)
        at[partition] = max(0, at.get(partition, 0) + random.choice([-3, -1, 0, 1, 1, 2]))
        kind = random.choice(
            [
                {"guild": 1},
                {"guild": 2, "audience": GUILD, "users": (7, 8)},
                {"audience": USERS, "users": (7,)},
                {"type": FENCE, "audience": INBOXES, "fence": "f", "inboxes": ("x",)},
            ]
        )
        records.append(Record(**{"type": "X", "source": ("chat.events", partition, at[partition])} | kind))
    return records


async def real_append(redis: Redis, inbox: str, records: list[Record]) -> int:
    async with redis.pipeline(transaction=False) as pipe:
        inboxes.append(pipe, inbox, [(record, record.pack()) for record in records])
        [[status, _, count]] = await pipe.execute()
    assert status == b"ok"
    return int(count)


async def made(redis: Redis, floor: int) -> tuple[str, twin.Inbox]:
    """An inbox and its twin, which begin alike."""
    node = uuid.uuid4().hex
    name = f"{node}.1"
    newest = {"g:1": 5, "u:7": 9}
    s = await inboxes.create(redis, node, name, floor=floor, token="t", is_open=True, newest=newest)
    ours = twin.create(S_EPOCH_MS, floor=s - 1, token="t", is_open=True, newest=newest)
    assert s > floor
    return name, ours


async def check_same(redis: Redis, name: str, ours: twin.Inbox) -> None:
    state = await inboxes.state(redis, name)
    assert (state.s, state.token, state.open) == (ours.s, ours.token, ours.open)
    assert (state.newest, state.high, state.cut) == (ours.newest, ours.high, ours.cut)
    assert await inboxes.read_between(redis, name, 0, None, count=10_000) == ours.entries


@pytest.mark.parametrize("seed", SEEDS)
async def test_where_s_runs_ahead_of_the_clock(redis: Redis, seed: int) -> None:
    """Then nothing depends on when a script runs."""
    random = Random(seed)
    ahead = (await now_ms(redis) - S_EPOCH_MS + 3_600_000) << S_SHIFT
    name, ours = await made(redis, ahead)
    at: dict[int, int] = {}
    for _ in range(20):
        match random.randint(0, 6):
            case 0:
                floor = ours.s + random.choice([-10, 0, 5, 4096])
                theirs = await inboxes.raise_above(redis, name, floor, 250)
                assert theirs == twin.raise_above(ours, floor, 250, S_EPOCH_MS)
            case 1:
                theirs = await inboxes.mark_moved(redis, name, {"b": 3, "a": 0})
                assert theirs == twin.mark(ours, "MOVED a:0 b:3", S_EPOCH_MS)
            case 2:
                await inboxes.unregister(redis, name, guilds=[1], users=[7], fields=[])
                twin.unregister(ours, ["g:1", "u:7"], S_EPOCH_MS)
            case _:
                records = batch(random, at)
                assert await real_append(redis, name, records) == twin.append(ours, records, S_EPOCH_MS, CAP)
    await check_same(redis, name, ours)


@pytest.mark.parametrize("seed", SEEDS)
async def test_where_the_clock_is_ahead_of_s(redis: Redis, seed: int) -> None:
    """Some millisecond between before and after explains what a script did."""
    random = Random(seed)
    name, ours = await made(redis, 0)
    at: dict[int, int] = {}
    for _ in range(10):
        records = batch(random, at)
        before = await now_ms(redis)
        count = await real_append(redis, name, records)
        after = await now_ms(redis)
        theirs = (await inboxes.state(redis, name)).s
        for moment in range(before, after + 1):
            tried = ours.copy()
            assert twin.append(tried, records, moment, CAP) == count
            if tried.s == theirs:
                ours = tried
                break
        else:
            raise AssertionError(f"no time explains s = {theirs}")
    await check_same(redis, name, ours)


async def test_raised_by_the_clock(redis: Redis) -> None:
    name, ours = await made(redis, 0)
    before = await now_ms(redis)
    t = await inboxes.raise_above(redis, name, 0, 1 << 16)
    after = await now_ms(redis)
    assert t in [twin.raise_above(ours.copy(), 0, 1 << 16, moment) for moment in range(before, after + 1)]


async def test_an_old_batch_changes_nothing(redis: Redis) -> None:
    name, ours = await made(redis, (await now_ms(redis) - S_EPOCH_MS + 3_600_000) << S_SHIFT)
    records = [Record("X", guild=1, source=("chat.events", 0, offset)) for offset in (4, 5)]
    for expected in (2, 0):
        assert await real_append(redis, name, records) == expected
        assert twin.append(ours, records, S_EPOCH_MS, CAP) == expected
    await check_same(redis, name, ours)


def test_the_twin_without_its_check_differs() -> None:
    """So the comparison can fail."""
    records = [Record("X", guild=1, source=("chat.events", 0, 4))] * 2
    inbox = twin.create(S_EPOCH_MS, floor=0, token="t", is_open=True, newest={})
    assert twin.append(inbox.copy(), records, S_EPOCH_MS, CAP) == 1
    assert twin.append(inbox.copy(), records, S_EPOCH_MS, CAP, check=False) == 2
