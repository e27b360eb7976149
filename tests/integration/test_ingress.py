"""The three answers to a send and its retries, on real Kafka, Valkey and PostgreSQL, through several nodes."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from pydantic import SecretStr

from fanfare.embedded.folder import DataFolder
from fanfare.emoji import Emoji
from fanfare.model import User
from fanfare.presence import keys
from fanfare.presence.loss_token import loss_token
from fanfare.record import CHANNEL, USERS
from fanfare.store import StoreUnavailableError
from gateway.ingress import records
from gateway.ingress.drafts import Draft, read_draft, read_edit
from gateway.ingress.errors import ApiError, FormError, RateLimitedError, RefusedError, UnknownOutcomeError
from gateway.ingress.ingress import Ingress
from gateway.ingress.nonces import Claim
from gateway.ingress.recent import PUT, caches
from gateway.protocol.frames import splice
from tests.integration.ingress_world import Place, make_place, next_id, nowhere, silence
from tests.integration.store_fixtures import eventually, settings_of
from tests.stack import Stack

pytestmark = pytest.mark.system


@pytest.fixture
async def place(stores: Stack) -> AsyncIterator[Place]:
    async with make_place(settings_of(stores.run)) as made:
        yield made


@pytest.fixture
async def two(place: Place) -> tuple[Ingress, Ingress]:
    return await place.node(), await place.node()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer *unknown* comes after half a second."""
    monkeypatch.setattr(records, "_ANSWER_S", 0.5)


def said(text: str, nonce: str | int | None = None) -> Draft:
    return Draft(content=text, nonce=nonce, enforce_nonce=True)


async def contents(node: Ingress, place: Place, user: User | None = None, **query: int) -> list[str]:
    page = await node.messages(user or place.alice, place.channel, **query)
    return [msgspec.json.decode(body)["content"] for body in page]


# Accepted.


async def test_a_message_is_accepted_once_kafka_has_it(place: Place, two: tuple[Ingress, Ingress]) -> None:
    place.kafka.open.clear()
    sending = asyncio.create_task(two[0].send(place.alice, place.channel, said(f"hello <@{place.bob.id}>")))
    await place.kafka.arrived.wait()
    assert not sending.done()
    place.kafka.open.set()
    sent = await sending
    (record,) = await place.records()
    assert record.payload == sent.body
    assert (record.id, record.audience, record.channel) == (sent.id, CHANNEL, place.channel)
    assert (record.author, record.mentions, record.nonce) == (place.alice.id, (place.bob.id,), "")
    assert record.users == ()
    assert msgspec.json.decode(splice(record))["content"] == ""


async def test_a_direct_message_is_for_both(place: Place, two: tuple[Ingress, Ingress]) -> None:
    await two[0].send(place.alice, place.direct, said("psst"))
    (record,) = await place.records(channel=place.direct)
    assert (record.audience, record.guild) == (USERS, 0)
    assert set(record.users) == {place.alice.id, place.bob.id}


async def test_the_other_events_of_a_channel(place: Place, two: tuple[Ingress, Ingress]) -> None:
    first, second = two
    sent = await first.send(place.alice, place.channel, said("a"))
    more = [(await first.send(place.bob, place.channel, said(text))).id for text in "bc"]
    body = await second.edit(place.alice, place.channel, sent.id, read_edit({"content": "A"}))
    await second.typing(place.bob, place.channel)
    await second.delete(place.bob, place.channel, more[0])
    await second.delete_many(place.alice, place.channel, [more[1], next_id()])
    (update,) = await place.records("MESSAGE_UPDATE")
    assert update.payload == body
    assert update.gated is not None
    assert update.id not in {sent.id, *more}, "an event of its own"
    assert len(await place.records("TYPING_START")) == 1
    (one,) = await place.records("MESSAGE_DELETE")
    assert msgspec.json.decode(one.payload)["id"] == str(more[0])
    (many,) = await place.records("MESSAGE_DELETE_BULK")
    assert msgspec.json.decode(many.payload)["ids"] == [str(more[1])], "only what was there"
    assert await contents(first, place) == ["A"]


# The same nonce.


async def test_many_tries_at_once_are_one_message(place: Place, two: tuple[Ingress, Ingress]) -> None:
    nodes = [*two, await place.node()]
    tries = [nodes[n % 3].send(place.alice, place.channel, said("once", "n")) for n in range(24)]
    sent = await asyncio.gather(*tries)
    assert len({one.id for one in sent}) == 1
    assert {one.body for one in sent} == {sent[0].body}
    assert [record.id for record in await place.records()] == [sent[0].id]


async def test_a_retry_waits_for_the_first_try(place: Place, two: tuple[Ingress, Ingress]) -> None:
    place.kafka.open.clear()
    first = asyncio.create_task(two[0].send(place.alice, place.channel, said("x", "n")))
    await place.kafka.arrived.wait()
    again = [asyncio.create_task(node.send(place.alice, place.channel, said("x", "n"))) for node in two]
    done, _ = await asyncio.wait((first, *again), timeout=0.3)
    assert not done
    place.kafka.open.set()
    assert len({sent.id for sent in await asyncio.gather(first, *again)}) == 1
    assert len(await place.records()) == 1


async def test_numbers_and_strings_are_the_same_nonce(place: Place, two: tuple[Ingress, Ingress]) -> None:
    sent = [await two[0].send(place.alice, place.channel, said("x", nonce)) for nonce in (7, "7")]
    assert sent[0].id == sent[1].id
    assert msgspec.json.decode(sent[0].body)["nonce"] == 7


async def test_b5_a_nonce_belongs_to_a_user_and_a_channel(place: Place, two: tuple[Ingress, Ingress]) -> None:
    mine = await two[0].send(place.alice, place.channel, said("x", "n"))
    elsewhere = await two[1].send(place.alice, place.direct, said("x", "n"))
    others = await two[0].send(place.bob, place.channel, said("x", "n"))
    assert len({mine.id, elsewhere.id, others.id}) == 3
    assert (await two[1].send(place.alice, place.channel, said("y", "n"))).id == mine.id


async def test_b5_a_nonce_that_is_not_enforced_is_only_told(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    draft = read_draft({"content": "x", "nonce": "n"})
    sent = [await node.send(place.alice, place.channel, draft) for node in two]
    assert sent[0].id != sent[1].id
    assert [msgspec.json.decode(one.body)["nonce"] for one in sent] == ["n", "n"]


async def test_a_retry_of_what_was_edited_or_deleted(place: Place, two: tuple[Ingress, Ingress]) -> None:
    sent = await two[0].send(place.alice, place.channel, said("x", "n"))
    await two[0].edit(place.alice, place.channel, sent.id, read_edit({"content": "y"}))
    again = await two[1].send(place.alice, place.channel, said("x", "n"))
    assert msgspec.json.decode(again.body)["content"] == "y"
    await two[0].delete(place.alice, place.channel, sent.id)
    assert (await two[1].send(place.alice, place.channel, said("x", "n"))).id == sent.id
    assert await contents(two[1], place) == []
    assert len(await place.records()) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_dead_node_is_replaced_under_the_same_id(place: Place) -> None:
    """It had handed the message over: both records stand in the log, and the fan-out lets one through."""
    dying, other = await place.node("dying"), await place.node()
    place.kafka.open.clear()
    with pytest.raises(UnknownOutcomeError):
        await dying.send(place.alice, place.channel, said("x", "n"))
    with pytest.raises(UnknownOutcomeError):
        await other.send(place.alice, place.channel, said("x", "n"))
    assert len(place.kafka.posted) == 1, "while it lives, nobody else sends"
    await place.die("dying")
    retry = asyncio.create_task(other.send(place.alice, place.channel, said("x", "n")))
    await eventually(_is(lambda: len(place.kafka.posted) == 2))
    place.kafka.open.set()
    sent = await retry
    ids = {record.id for record in await place.records()}
    assert ids == {sent.id}
    third = await place.node()
    assert (await third.send(place.alice, place.channel, said("x", "n"))).id == sent.id


async def test_what_a_dead_node_got_through_is_not_sent_again(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    sent = await two[0].send(place.alice, place.channel, said("x", "n"))
    await place.redis.set(
        keys.nonce(place.alice.id, place.channel, "n"), f"{sent.id} {place.channel} ?gone:1", px=60_000
    )
    again = await two[1].send(place.alice, place.channel, said("x", "n"))
    assert (again.id, again.body) == (sent.id, sent.body)
    assert len(await place.records()) == 1


# Unknown.


@pytest.mark.usefixtures("impatient")
async def test_unknown_becomes_known(place: Place, two: tuple[Ingress, Ingress]) -> None:
    place.kafka.open.clear()
    for _ in range(2):
        with pytest.raises(UnknownOutcomeError):
            await two[0].send(place.alice, place.channel, said("x", "n"))
    place.kafka.open.set()
    for node in two:
        sent = await node.send(place.alice, place.channel, said("x", "n"))
    assert [record.id for record in await place.records()] == [sent.id]
    await eventually(_is(lambda: not two[0]._sends._tasks))


async def test_nothing_is_accepted_that_the_fan_out_may_drop(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    """Kafka took it, but later than half the nonce window after its id was made. Without a nonce it is never late."""
    place.ids.back_ms = 151_000
    with pytest.raises(UnknownOutcomeError):
        await two[0].send(place.alice, place.channel, said("x", "n"))
    assert (await two[0].send(place.alice, place.channel, said("x"))).body


async def test_a_broker_that_stops_answering(
    stores: Stack, place: Place, two: tuple[Ingress, Ingress]
) -> None:
    """The real one, frozen: first unknown, then refused at once, each within 5 s; afterwards all is found once."""
    await two[0].send(place.alice, place.channel, said("before", "b"))
    pids = [one["pid"] for one in DataFolder(stores.home).read_state()["processes"] if "kafka" in one["name"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(UnknownOutcomeError):
            await two[0].send(place.alice, place.channel, said("during", "d"))
        assert time.monotonic() - began < 5, "a bound of the contract"
        with pytest.raises(RefusedError) as raised:
            await two[0].send(place.alice, place.channel, said("refused", "r"))
        assert raised.value.retry_after
        assert await place.redis.get(keys.nonce(place.alice.id, place.channel, "r")) is None, (
            "free for the retry"
        )
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    sent = []

    async def accepted() -> bool:
        for nonce in "dr":
            try:
                sent.append(await two[1].send(place.alice, place.channel, said(f"again {nonce}", nonce)))
            except (RefusedError, UnknownOutcomeError):
                return False
        return True

    await eventually(accepted)
    records = await place.records()
    assert sorted(record.nonce for record in records) == ["b", "d", "r"]
    assert {one.id for one in sent} == {record.id for record in records if record.nonce in {"d", "r"}}


# Refused.


async def test_what_is_refused_frees_its_nonce(place: Place, two: tuple[Ingress, Ingress]) -> None:
    place.kafka.refuses = True
    for nonce in (None, "n"):
        with pytest.raises(RefusedError) as raised:
            await two[0].send(place.alice, place.channel, said("x", nonce))
        assert (raised.value.status, raised.value.retry_after) == (503, 2.0)
    place.kafka.refuses = False
    sent = await two[1].send(place.alice, place.channel, said("x", "n"))
    assert [record.id for record in await place.records()] == [sent.id]


async def test_a_retry_that_waits_goes_on_when_the_first_try_is_refused(place: Place) -> None:
    """Redis holds a claim of a live node that comes to nothing."""
    node, other = await place.node(), await place.node("other")
    claim = f"{next_id()} {place.channel} ?other:1"
    await node.send(place.alice, place.channel, said("first"))
    await place.redis.set(keys.nonce(place.alice.id, place.channel, "n"), claim, px=60_000)
    waiting = asyncio.create_task(node.send(place.alice, place.channel, said("x", "n")))
    done, _ = await asyncio.wait((waiting,), timeout=0.2)
    assert not done
    await place.redis.delete(keys.nonce(place.alice.id, place.channel, "n"))
    sent = await waiting
    assert (await other.send(place.alice, place.channel, said("x", "n"))).id == sent.id


@pytest.mark.parametrize("how", ["closed", "silent"])
async def test_without_redis_sends_with_a_nonce_are_refused_and_others_go_on(place: Place, how: str) -> None:
    async with silence() as silent:
        node = await place.node(redis=place.redis_at(nowhere() if how == "closed" else silent))
        began = time.monotonic()
        with pytest.raises(RefusedError):
            await node.send(place.alice, place.channel, said("x", "n"))
        sent = await node.send(place.alice, place.channel, said("y"))
        with pytest.raises(RefusedError):
            await node.messages(place.alice, place.channel)
        assert time.monotonic() - began < 10
        assert [record.id for record in await place.records()] == [sent.id]


@pytest.mark.parametrize("how", ["emptied", "went back", "went back to when it was under way"])
async def test_what_redis_lost_is_filled_in_again_from_the_log(stores: Stack, how: str) -> None:
    """A retry after that is still the same message. In a database of Redis that no other test uses."""
    settings = settings_of(stores.run)
    url = settings.redis.get_secret_value().rpartition("/")[0] + "/7"
    async with make_place(settings.model_copy(update={"redis": SecretStr(url)})) as place:
        one, two = await place.node("one"), await place.node("two")
        sent = await one.send(place.alice, place.channel, said("x", "n"))
        await place.redis.flushdb()
        if how != "emptied":
            await place.redis.set(keys.nonces_ready(), "of another server")
        if how == "went back to when it was under way":
            await place.redis.set(keys.lease("one"), "inbox")
            claim = Claim(sent.id, place.channel, "one", 1)
            await place.redis.set(keys.nonce(place.alice.id, place.channel, "n"), claim.words, px=60_000)
        retried = []

        async def accepted() -> bool:
            try:
                retried.append(await two.send(place.alice, place.channel, said("x", "n")))
            except RefusedError:
                return False
            return True

        await eventually(accepted)
        assert retried[0].id == sent.id
        assert await place.redis.get(keys.nonces_ready()) == (await loss_token(place.redis)).encode()
        assert await place.redis.get(keys.first(place.alice.id, place.channel, "n"))
        assert len(await place.records()) == 1


async def test_an_outcome_that_redis_missed_is_noted_later(place: Place) -> None:
    """Redis is away just when Kafka answers: the sender is told at once, the others when Redis is back."""
    node = await place.node("here")
    place.kafka.open.clear()
    sending = asyncio.create_task(node.send(place.alice, place.channel, said("x", "n")))
    await place.kafka.arrived.wait()
    batch = node._sends._batch
    there, batch._redis = batch._redis, place.redis_at(nowhere())
    place.kafka.open.set()
    sent = await sending
    batch._redis = there

    async def noted() -> bool:
        value = await place.redis.get(keys.nonce(place.alice.id, place.channel, "n"))
        return b"=" in value

    await eventually(noted)
    other = await place.node()
    assert (await other.send(place.alice, place.channel, said("x", "n"))).id == sent.id


class NoStore:
    """A database that is away."""

    async def _away(self, *_: object, **__: object) -> None:
        raise StoreUnavailableError("away")

    message = messages = channel = members = reactions = _away


# Reading.


async def test_a_sender_finds_its_message_through_any_node(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    for number in range(30):
        await two[number % 2].send(place.alice, place.channel, said(str(number)))
        assert (await contents(two[1 - number % 2], place, limit=1)) == [str(number)]


async def test_pages(place: Place, two: tuple[Ingress, Ingress]) -> None:
    ids = [(await two[0].send(place.alice, place.channel, said(str(n)))).id for n in range(10)]
    assert await contents(two[1], place, limit=3) == ["9", "8", "7"]
    assert await contents(two[1], place, before=ids[5], limit=2) == ["4", "3"]
    assert await contents(two[1], place, after=ids[5], limit=2) == ["7", "6"]
    assert await contents(two[1], place, around=ids[5], limit=4) == ["7", "6", "5", "4"][:4]
    assert await contents(two[1], place, around=ids[5], limit=1) == ["5"]
    await two[1].delete(place.alice, place.channel, ids[8])
    assert await contents(two[0], place, limit=3) == ["9", "7", "6"]


async def test_replies_show_what_they_refer_to_as_it_is_now(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    sent = await two[0].send(place.alice, place.channel, said("question"))
    reply = read_draft({"content": "answer", "message_reference": {"message_id": sent.id}})
    body = msgspec.json.decode((await two[1].send(place.bob, place.channel, reply)).body)
    assert (body["type"], body["referenced_message"]["content"]) == (19, "question")
    assert [user["id"] for user in body["mentions"]] == [str(place.alice.id)]
    await two[0].edit(place.alice, place.channel, sent.id, read_edit({"content": "QUESTION"}))
    page = [msgspec.json.decode(one) for one in await two[0].messages(place.bob, place.channel)]
    assert page[0]["referenced_message"]["content"] == "QUESTION"
    await two[0].delete(place.alice, place.channel, sent.id)
    page = [msgspec.json.decode(one) for one in await two[0].messages(place.bob, place.channel)]
    assert page[0]["referenced_message"] is None
    with pytest.raises(FormError) as raised:
        await two[0].send(place.bob, place.channel, reply)
    assert "message_reference" in raised.value.errors
    plain = read_draft(
        {"content": "x", "message_reference": {"message_id": sent.id, "fail_if_not_exists": False}}
    )
    assert msgspec.json.decode((await two[0].send(place.bob, place.channel, plain)).body)["type"] == 0


async def test_without_the_database(place: Place) -> None:
    """What a node knows can be sent to; a cached message can be read, a page cannot."""
    node = await place.node(store=NoStore())
    sent = await node.send(place.alice, place.channel, said("x", "n"))
    assert await node.message(place.alice, place.channel, sent.id) == sent.body
    await node.edit(place.alice, place.channel, sent.id, read_edit({"content": "y"}))
    for reading in (node.messages(place.alice, place.channel), node.message(place.alice, place.channel, 5)):
        with pytest.raises(RefusedError):
            await reading


async def test_the_cache_goes_only_forward_and_is_bounded(place: Place, two: tuple[Ingress, Ingress]) -> None:
    sent = await two[0].send(place.alice, place.channel, said("x"))
    bodies = keys.recent_bodies(place.channel)
    offset = int((await place.redis.hget(bodies, str(sent.id))).partition(b":")[0])
    put = PUT
    cache = caches(place.channel)
    assert await put.run(place.redis, cache, [sent.id, offset, b"same", 10, 0]) == 0
    assert await put.run(place.redis, cache, [sent.id, offset + 1, b"new twice", 10, 1]) == 0
    assert await put.run(place.redis, cache, [sent.id, offset + 1, b"later", 10, 0]) == 1
    for ident in range(1, 20):
        await put.run(place.redis, cache, [sent.id + ident, offset, b"more", 10, 1])
    kept = [int(one) for one in await place.redis.zrange(cache[0], 0, -1)]
    assert kept == list(range(sent.id + 10, sent.id + 20))
    assert {int(one) for one in await place.redis.hkeys(bodies)} == set(kept)


async def test_what_was_cached_before_redis_lost_writes_does_not_count(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    """Redis may come back with what it held before: a message that was deleted since must not be there again."""
    sent = await two[0].send(place.alice, place.channel, said("x"))
    bodies, reactions = keys.recent_bodies(place.channel), keys.reactions(place.channel)
    thumb = Emoji("\N{THUMBS UP SIGN}")
    await two[0].reacting.add(place.alice, place.channel, sent.id, thumb)
    before = await place.redis.hget(bodies, str(sent.id)), await place.redis.hgetall(reactions)
    assert before[0]
    assert before[1]
    await place.redis.set(keys.cached_under(place.channel), "another server")
    with pytest.raises(ApiError) as gone:
        await two[1].message(place.alice, place.channel, sent.id)
    assert gone.value.code == 10008
    assert await two[1].messages(place.alice, place.channel) == []
    # What comes from now on counts, and nothing of before comes back with it.
    second = await two[0].send(place.alice, place.channel, said("y"))
    assert [json.loads(one)["id"] for one in await two[1].messages(place.alice, place.channel)] == [
        str(second.id)
    ]
    await two[0].reacting.add(place.alice, place.channel, second.id, thumb)
    found = json.loads(await two[1].message(place.alice, place.channel, second.id))
    assert [one["count"] for one in found["reactions"]] == [1]
    assert not any(name.startswith(b"%d:" % sent.id) for name in await place.redis.hgetall(reactions))


# Who may.


async def test_who_may_not(place: Place, two: tuple[Ingress, Ingress]) -> None:
    node = two[0]
    mine = (await node.send(place.alice, place.channel, said("mine"))).id

    async def code(trying: object) -> int:
        with pytest.raises(ApiError) as raised:
            await trying  # type: ignore[misc]
        return raised.value.code

    assert await code(node.send(place.stranger, place.channel, said("x"))) == 50001
    assert await code(node.send(place.stranger, place.direct, said("x"))) == 50001
    assert await code(node.send(place.bob, place.other, said("x"))) == 50013
    assert await code(node.send(place.bob, 5, said("x"))) == 10003
    assert await code(node.edit(place.bob, place.channel, mine, read_edit({"content": "x"}))) == 50005
    assert await code(node.edit(place.bob, place.channel, mine, read_edit({"flags": 4}))) == 50013
    assert await code(node.edit(place.bob, place.channel, 5, read_edit({"content": "x"}))) == 10008
    assert await code(node.delete(place.bob, place.channel, mine)) == 50013
    assert await code(node.delete_many(place.bob, place.channel, [mine, 5])) == 50013
    assert await code(node.delete_many(place.alice, place.channel, [mine, 5])) == 50034
    assert await code(node.typing(place.bob, place.other)) == 50013
    assert await code(node.messages(place.stranger, place.channel)) == 50001
    assert len(await place.records()) == 1


async def test_a_limit_that_is_set(stores: Stack) -> None:
    settings = settings_of(stores.run, send_limit=2)
    async with make_place(settings) as place:
        node = await place.node()
        for _ in range(2):
            await node.send(place.alice, place.channel, said("x"))
        with pytest.raises(RateLimitedError) as raised:
            await node.send(place.alice, place.channel, said("x"))
        assert 0 < (raised.value.retry_after or 0) <= 5
        await node.send(place.bob, place.channel, said("x"))
        assert node.quota(place.alice, place.channel).remaining == 0


# Over the socket.


async def test_publishing(place: Place, two: tuple[Ingress, Ingress]) -> None:
    node = two[0]
    body = {"channel_id": place.channel, "content": "x", "nonce": "n"}
    sent = await node.publish(place.alice, body)
    assert sent == {"nonce": "n", "id": sent["id"], "channel_id": str(place.channel)}
    assert (
        await two[1].publish(place.alice, msgspec.json.encode(body | {"channel_id": str(place.channel)}))
        == sent
    )
    assert [str(record.id) for record in await place.records()] == [sent["id"]]


async def test_d4_a_broker_whose_clock_is_far_ahead_is_told_to_the_sender(
    place: Place, two: tuple[Ingress, Ingress]
) -> None:
    """By its clock the message comes after the nonce window, so fan-out and archiver drop it: no 200 and silence."""
    place.kafka.clock_ahead_s = 400.0
    with pytest.raises(RefusedError, match="400 s ahead"):
        await two[0].send(place.alice, place.channel, said("x", "n"))
    assert (await two[0].send(place.alice, place.channel, said("x"))).body, "without a nonce it is delivered"
    place.kafka.clock_ahead_s = 0.0
    sent = await two[1].send(place.alice, place.channel, said("y", "n"))
    assert msgspec.json.decode(sent.body)["content"] == "y", "the nonce was given back"


@pytest.mark.parametrize("ahead_s", [4.0, 200.0, -400.0])
async def test_d4_siblings_a_clock_that_drops_nothing(
    place: Place, two: tuple[Ingress, Ingress], ahead_s: float
) -> None:
    place.kafka.clock_ahead_s = ahead_s
    assert (await two[0].send(place.alice, place.channel, said("x", "n"))).body


@pytest.mark.usefixtures("impatient")
async def test_publishing_that_fails(place: Place, two: tuple[Ingress, Ingress]) -> None:
    node = two[0]
    bad = await node.publish(place.alice, {"content": "x" * 2001, "nonce": 5, "channel_id": place.channel})
    assert (bad["nonce"], bad["error"]["code"]) == (5, 50035)
    both = await node.publish(place.alice, {"content": "x" * 2001, "channel_id": "nowhere"})
    assert both["error"]["errors"].keys() == {"content", "channel_id"}, "what is wrong is said at once"
    assert (await node.publish(place.alice, b"{"))["error"]["code"] == 50109
    assert (await node.publish(place.alice, b"[]"))["error"]["code"] == 50035
    assert (await node.publish(place.alice, {"content": "x"}))["error"]["code"] == 50035
    place.kafka.refuses = True
    body = {"channel_id": place.channel, "content": "x", "nonce": "n"}
    refused = await node.publish(place.alice, body)
    assert (refused["error"]["code"], refused["error"]["retry_after"]) == (503, 2.0)
    place.kafka.refuses = False
    place.kafka.open.clear()
    assert (await node.publish(place.alice, body))["error"]["code"] == 504
    assert "retry_after" not in (await node.publish(place.alice, body))["error"]


def _is(true: object) -> object:
    async def condition() -> bool:
        return bool(true())  # type: ignore[operator]

    return condition
