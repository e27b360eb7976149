"""Slow mode and repetitions, on real stores: a message that was accepted is found again, whoever waits by now."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from fanfare.presence import keys
from gateway.ingress.drafts import Draft
from gateway.ingress.errors import RateLimitedError
from tests.integration.ingress_world import Place, make_place, next_id, nowhere, silence
from tests.integration.store_fixtures import settings_of
from tests.stack import Stack

pytestmark = pytest.mark.system


@pytest.fixture
async def place(stores: Stack) -> AsyncIterator[Place]:
    """A place whose channel is in slow mode; bob has to wait there."""
    async with make_place(settings_of(stores.run)) as made:
        slow = msgspec.structs.replace(made.known.channels[made.channel], rate_limit_per_user=600)
        made.known.channels[made.channel] = slow
        yield made


def said(text: str, nonce: str | None = None) -> Draft:
    return Draft(content=text, nonce=nonce, enforce_nonce=True)


async def lapse(place: Place) -> None:
    """The wait is over."""
    assert await place.redis.delete(keys.slow(place.bob.id, place.channel))


@pytest.mark.parametrize("same_node", [True, False])
async def test_b6_a_repetition_after_another_message_is_the_first_one(place: Place, same_node: bool) -> None:
    node, other = await place.node(), await place.node()
    again = node if same_node else other
    first = await node.send(place.bob, place.channel, said("a", "a"))
    await lapse(place)
    second = await node.send(place.bob, place.channel, said("b", "b"))
    assert (await again.send(place.bob, place.channel, said("a", "a"))).id == first.id
    body = {"channel_id": place.channel, "content": "a", "nonce": "a"}
    assert (await again.publish(place.bob, body))["id"] == str(first.id)
    with pytest.raises(RateLimitedError):
        await again.send(place.bob, place.channel, said("c", "c"))
    assert [record.id for record in await place.records()] == [first.id, second.id]


async def test_b6_a_repetition_of_what_is_under_way_waits_for_it(place: Place) -> None:
    node, other = await place.node(), await place.node()
    place.kafka.open.clear()
    first = asyncio.create_task(node.send(place.bob, place.channel, said("a", "a")))
    await place.kafka.arrived.wait()
    await place.redis.set(keys.slow(place.bob.id, place.channel), "b", px=600_000)
    again = asyncio.create_task(other.send(place.bob, place.channel, said("a", "a")))
    place.kafka.open.set()
    assert (await again).id == (await first).id


async def test_b6_a_repetition_of_what_was_refused_meanwhile_waits_like_all(place: Place) -> None:
    """The first try comes to nothing while the second one waits for it, and the turn is somebody else's."""
    node, _ = await place.node(), await place.node("other")
    nonce = keys.nonce(place.bob.id, place.channel, "a")
    await place.redis.set(nonce, f"{next_id()} {place.channel} ?other:1", px=60_000)
    await place.redis.set(keys.slow(place.bob.id, place.channel), "b", px=600_000)
    waiting = asyncio.create_task(node.send(place.bob, place.channel, said("a", "a")))
    done, _ = await asyncio.wait((waiting,), timeout=0.2)
    assert not done
    await place.redis.delete(nonce)
    with pytest.raises(RateLimitedError):
        await waiting
    assert await place.records() == []
    assert not await place.redis.exists(nonce)


@pytest.mark.parametrize("how", ["closed", "silent"])
async def test_b6_slow_mode_without_redis_is_a_refusal(
    place: Place, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with silence() as silent:
        node = await place.node(redis=place.redis_at(nowhere() if how == "closed" else silent))
        answer = await node.publish(place.bob, {"channel_id": place.channel, "content": "x", "nonce": "n"})
    assert answer["error"]["code"] == 503
    assert answer["error"]["retry_after"]
    assert "a send failed" not in "".join(capsys.readouterr())
