"""The scripts of inboxes, on a real Valkey."""

import itertools
import uuid

import pytest
from redis.exceptions import NoScriptError, OutOfMemoryError

from fanfare.constants import INBOX_TTL_S, NODE_LEASE_S, S_EPOCH_MS, S_SHIFT
from fanfare.presence import inboxes, keys
from fanfare.presence.client import connect
from fanfare.presence.inboxes import APPEND, InboxEntry, InboxGoneError
from fanfare.presence.loss_token import loss_token
from fanfare.record import FENCE, GUILD, INBOXES, USERS, Record
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system
TOPIC = "chat.events"
_numbers = itertools.count()


@pytest.fixture
async def redis(stores):
    client = connect(settings_of(stores.run))
    await APPEND.load(client)
    yield client
    await client.aclose()


def new_name() -> tuple[str, str]:
    node = uuid.uuid4().hex
    return node, f"{node}.1"


async def make(redis, floor: int = 0, **more) -> str:
    node, inbox = new_name()
    await inboxes.create(redis, node, inbox, floor=floor, token="t", is_open=True, **more)
    return inbox


def record(offset: int, partition: int = 0, **fields) -> Record:
    return Record(id=offset, source=(TOPIC, partition, offset), **({"type": "X", "guild": 1} | fields))


async def append(redis, inbox: str, *records: Record):
    async with redis.pipeline(transaction=False) as pipe:
        inboxes.append(pipe, inbox, [(each, each.pack()) for each in records])
        [answer] = await pipe.execute()
    return answer


async def entries(redis, inbox: str) -> list[InboxEntry]:
    return await inboxes.read_between(redis, inbox, 0, None, count=10_000)


async def offsets(redis, inbox: str) -> list[tuple[int, int]]:
    return [e.record.position[1:] for e in await entries(redis, inbox) if e.record is not None]


async def clock(redis) -> int:
    seconds, micros = await redis.time()
    return (seconds * 1000 + micros // 1000 - S_EPOCH_MS) << S_SHIFT


async def test_what_is_appended_can_be_read(redis):
    inbox = await make(redis)
    sent = [record(0, payload=b"\x00\xff"), record(1, 1, audience=USERS, users=(7,)), record(2)]
    before = await clock(redis)
    assert (await append(redis, inbox, *sent))[::2] == [b"ok", 3]
    found = await entries(redis, inbox)
    assert found[0] == InboxEntry(found[0].s, None, "START")
    assert [each.record for each in found[1:]] == sent
    numbers = [each.s for each in found]
    assert numbers == sorted(set(numbers))
    assert before <= numbers[1] < 2**53
    assert await inboxes.read(redis, inbox, numbers[1]) == found[2:]
    assert await inboxes.read(redis, inbox, numbers[-1]) == []
    assert await inboxes.read_between(redis, inbox, numbers[1], numbers[2], count=9) == found[1:3]
    assert await inboxes.last_s(redis, inbox) == numbers[-1]


async def test_each_source_position_once(redis):
    inbox = await make(redis)
    assert (await append(redis, inbox, record(5), record(5), record(4), record(7)))[2] == 2
    assert (await append(redis, inbox, record(7), record(6), record(7, 1), record(8)))[2] == 2
    assert await offsets(redis, inbox) == [(0, 5), (0, 7), (1, 7), (0, 8)]
    state = await inboxes.state(redis, inbox)
    assert state.high == {f"{TOPIC}/0": 8, f"{TOPIC}/1": 7}


async def test_a_batch_that_is_known_changes_nothing(redis):
    inbox = await make(redis)
    await append(redis, inbox, record(0), record(1))
    before = await inboxes.state(redis, inbox)
    assert (await append(redis, inbox, record(0), record(1)))[::2] == [b"ok", 0]
    assert await inboxes.state(redis, inbox) == before


async def test_the_newest_of_each_scope_is_noted(redis):
    inbox = await make(redis)
    await append(
        redis,
        inbox,
        record(0),
        record(1, audience=GUILD, guild=2, users=(8,)),
        record(2, audience=USERS, guild=0, users=(7, 8)),
        record(3, type=FENCE, audience=INBOXES, guild=0, inboxes=(inbox,)),
    )
    first, second, third, _ = (each.s for each in (await entries(redis, inbox))[1:])
    newest = (await inboxes.state(redis, inbox)).newest
    assert newest == {"g:1": first, "g:2": second, "u:7": third, "u:8": third}


async def test_a_batch_for_very_many_users_is_taken_whole(redis):
    """The hash was written with one command, which Lua refused after the entries had been added."""
    inbox = await make(redis)
    batch = [record(at, audience=USERS, users=tuple(range(at * 20, at * 20 + 20))) for at in range(500)]
    assert (await append(redis, inbox, *batch))[::2] == [b"ok", 500]
    state = await inboxes.state(redis, inbox)
    assert len(state.newest) == 10_000
    assert (await append(redis, inbox, record(500)))[2] == 1


async def test_full_memory_is_an_error_that_leaves_nothing_behind(redis):
    inbox = await make(redis)
    before = await inboxes.state(redis, inbox)
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            await append(redis, inbox, record(0), record(1))
    finally:
        await redis.config_set("maxmemory", 0)
    assert await inboxes.state(redis, inbox) == before
    assert (await append(redis, inbox, record(0), record(1)))[2] == 2
    assert await offsets(redis, inbox) == [(0, 0), (0, 1)]


async def test_two_inboxes_in_one_pipeline_answer_for_themselves(redis):
    alive, gone = await make(redis), new_name()[1]
    async with redis.pipeline(transaction=False) as pipe:
        for inbox in (gone, alive):
            inboxes.append(pipe, inbox, [(record(0), record(0).pack())])
        answers = await pipe.execute()
    assert [answer[::2] for answer in answers] == [[b"gone", 0], [b"ok", 1]]
    assert not await redis.exists(keys.inbox(gone), keys.at(gone)), "appending makes no inbox"


async def test_the_epoch_comes_with_the_answer(redis):
    inbox = await make(redis)
    known = await redis.get(keys.epoch())
    assert (await append(redis, inbox, record(0)))[1] == known
    await redis.set(keys.epoch(), "word")
    assert (await append(redis, inbox, record(1)))[1] == b"word"


async def test_s_goes_on_by_ones_while_the_clock_is_behind(redis):
    ahead = (await clock(redis)) + (3_600_000 << S_SHIFT)
    inbox = await make(redis, floor=ahead)
    await append(redis, inbox, record(0), record(1))
    await append(redis, inbox, record(2))
    assert [each.s - ahead for each in await entries(redis, inbox)] == [1, 2, 3, 4]


async def test_the_first_s_is_above_the_floor_and_not_below_the_clock(redis):
    for ahead in (-(1 << 30), 1 << 30):
        before = await clock(redis)
        s = await inboxes.create(redis, *new_name(), floor=before + ahead, token="t", is_open=True)
        assert s > before + ahead
        assert s >= before
        if ahead > 0:
            assert s == before + ahead + 1


async def test_create_announces_and_notes_what_it_is_told(redis):
    node, inbox = new_name()
    newest = {f"g:{at}": at for at in range(5000)}
    s = await inboxes.create(redis, node, inbox, floor=0, token="tok", is_open=False, newest=newest)
    state = await inboxes.state(redis, inbox)
    assert (state.s, state.token, state.open, dict(state.newest)) == (s, "tok", False, newest)
    assert await redis.get(keys.lease(node)) == inbox.encode()
    assert NODE_LEASE_S * 1000 - 2000 < await redis.pttl(keys.lease(node)) <= NODE_LEASE_S * 1000
    for key in (keys.inbox(inbox), keys.at(inbox)):
        assert INBOX_TTL_S * 500 < await redis.pttl(key) <= INBOX_TTL_S * 1000


async def test_opening_sets_the_cut_and_lowers_nothing(redis):
    node, inbox = new_name()
    await inboxes.create(redis, node, inbox, floor=0, token="t", is_open=False, newest={"g:2": 5})
    await append(redis, inbox, record(0))
    first = (await inboxes.state(redis, inbox)).newest["g:1"]
    await inboxes.open_up(redis, inbox, cut={f"{TOPIC}/0": 7}, newest={"g:1": 3, "g:2": 9, "g:3": 4})
    state = await inboxes.state(redis, inbox)
    assert state.open
    assert state.cut == {f"{TOPIC}/0": 7}
    assert state.newest == {"g:1": first, "g:2": 9, "g:3": 4}
    with pytest.raises(InboxGoneError):
        await inboxes.open_up(redis, new_name()[1], cut={}, newest={})


async def test_renewing_keeps_both_keys_and_refuses_what_is_gone(redis):
    node, inbox = new_name()
    await inboxes.create(redis, node, inbox, floor=0, token="t", is_open=True)
    for key in (keys.inbox(inbox), keys.at(inbox), keys.lease(node)):
        await redis.pexpire(key, 60_000_000)
    await inboxes.renew(redis, node, inbox)
    assert await redis.pttl(keys.inbox(inbox)) <= INBOX_TTL_S * 1000
    assert await redis.pttl(keys.at(inbox)) <= INBOX_TTL_S * 1000
    assert await redis.pttl(keys.lease(node)) <= NODE_LEASE_S * 1000
    for lost in (keys.inbox(inbox), keys.at(inbox)):
        await redis.delete(lost)
        with pytest.raises(InboxGoneError):
            await inboxes.renew(redis, node, inbox)
        assert not await redis.exists(lost), "renewing makes nothing"


async def test_raising(redis):
    inbox = await make(redis)
    before = await clock(redis)
    first = await inboxes.raise_above(redis, inbox, floor=0, gap=1 << 30)
    assert first >= before + (1 << 30), "above the clock"
    assert await inboxes.raise_above(redis, inbox, floor=0, gap=250) == first + 251, "above its last"
    floor = first + (1 << 40)
    assert await inboxes.raise_above(redis, inbox, floor, gap=250) == floor + 251
    await append(redis, inbox, record(0))
    found = await entries(redis, inbox)
    assert [each.marker for each in found] == ["START", "RAISE", "RAISE", "RAISE", ""]
    assert found[-1].s == floor + 252


async def test_sessions_that_move_are_noted(redis):
    inbox = await make(redis)
    s = await inboxes.mark_moved(redis, inbox, {"one": 3, "two": 0})
    last = (await entries(redis, inbox))[-1]
    assert last.s == s == await inboxes.last_s(redis, inbox)
    assert inboxes.moved_of(last) == {"one": 3, "two": 0}
    assert inboxes.moved_of((await entries(redis, inbox))[0]) == {}


async def test_leaving_scopes_is_noted_with_the_removal(redis):
    inbox = await make(redis)
    guild, user = next(_numbers) + 10**6, next(_numbers) + 10**6
    await redis.hset(keys.guild_nodes(guild), mapping={inbox: "1", "other.1": "1"})
    await redis.hset(keys.user_sessions(user), mapping={f"s@{inbox}": "online", f"s2@{inbox}": "online"})
    await append(redis, inbox, record(0, guild=guild))
    await inboxes.unregister(redis, inbox, guilds=[guild], users=[user], fields=[(user, f"s@{inbox}")])
    assert await redis.hkeys(keys.guild_nodes(guild)) == [b"other.1"]
    assert await redis.hkeys(keys.user_sessions(user)) == [f"s2@{inbox}".encode()]
    last = (await entries(redis, inbox))[-1]
    assert last.marker == f"UNREG g:{guild} u:{user}"
    state = await inboxes.state(redis, inbox)
    assert state.s == last.s == state.newest[f"g:{guild}"] == state.newest[f"u:{user}"]


async def test_a_session_that_ends_beside_another_leaves_no_mark(redis):
    inbox = await make(redis)
    user = next(_numbers) + 10**6
    await redis.hset(keys.user_sessions(user), f"s@{inbox}", "online")
    await inboxes.unregister(redis, inbox, guilds=[], users=[], fields=[(user, f"s@{inbox}")])
    assert not await redis.exists(keys.user_sessions(user))
    assert len(await entries(redis, inbox)) == 1


async def test_leaving_from_an_inbox_that_is_gone_still_removes(redis):
    inbox, guild = new_name()[1], next(_numbers) + 10**6
    await redis.hset(keys.guild_nodes(guild), inbox, "1")
    await inboxes.unregister(redis, inbox, guilds=[guild], users=[], fields=[])
    assert not await redis.exists(keys.guild_nodes(guild), keys.inbox(inbox), keys.at(inbox))


async def test_what_is_gone_is_gone(redis):
    inbox = new_name()[1]
    assert (await append(redis, inbox, record(0)))[0] == b"gone"
    with pytest.raises(InboxGoneError):
        await inboxes.raise_above(redis, inbox, 0, 0)
    with pytest.raises(InboxGoneError):
        await inboxes.mark_moved(redis, inbox, {"one": 1})
    with pytest.raises(InboxGoneError):
        await inboxes.last_s(redis, inbox)
    with pytest.raises(InboxGoneError):
        await inboxes.state(redis, inbox)


async def test_a_server_that_does_not_know_the_script_says_so(redis):
    inbox = await make(redis)
    await redis.script_flush()
    with pytest.raises(NoScriptError):
        await append(redis, inbox, record(0))
    await APPEND.load(redis)
    assert (await append(redis, inbox, record(0)))[0] == b"ok"
    assert await inboxes.raise_above(redis, inbox, 0, 0), "the others load themselves"


async def test_the_loss_token_stays_while_the_server_lives(redis, stores):
    token = await loss_token(redis)
    other = connect(settings_of(stores.run))
    assert await loss_token(other) == token
    assert len(token) > 40
    await other.aclose()
