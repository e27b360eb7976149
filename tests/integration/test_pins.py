"""Pins on real nodes, and edits that come behind a deletion."""

import pytest

from fanfare.constants import RECENT_CAP
from gateway.ingress.recent import PUT, caches
from tests.integration.store_fixtures import eventually
from tests.world import make_world, next_id, redis_of, store_of
from torture.client import RestError

pytestmark = pytest.mark.system


async def test_pins_by_both_paths(stack, nodes, online):
    world = await make_world(stack, people=2)
    channel = f"/channels/{world.channels[0]}"
    watching = await online(nodes[1], world.people[1])
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:
        first, second, reply = [
            (await owner.send(world.channels[0], text))["id"] for text in ("first", "second", "x")
        ]
        await owner.request("PUT", f"{channel}/messages/pins/{first}")
        update = await watching.until("MESSAGE_UPDATE")
        assert (update.d["id"], update.d["pinned"], update.d["edited_timestamp"]) == (first, True, None)
        told = await watching.until("CHANNEL_PINS_UPDATE")
        assert told.d["guild_id"] == str(world.guild)
        await owner.request("PUT", f"{channel}/pins/{second}")
        await owner.request("PUT", f"{channel}/pins/{second}")
        await owner.send(world.channels[0], "a reply", message_reference={"message_id": first})
        await owner.request("PATCH", f"{channel}/messages/{first}", {"content": "first, edited"})

        async def pins() -> list[tuple[str, str]]:
            found = await bob.request("GET", f"{channel}/messages/pins", query={"limit": "50"})
            assert not found["has_more"]
            return [(one["message"]["id"], one["message"]["content"]) for one in found["items"]]

        both = [(second, "second"), (first, "first, edited")]
        assert await pins() == both

        async with store_of(stack) as store:

            async def archived() -> bool:
                return {ident for ident, _ in await store.maybe_pinned(world.channels[0], 9)} >= {
                    int(first),
                    int(second),
                }

            await eventually(archived, 20)
        assert await pins() == both, "as the archiver has them, too"
        page = await bob.request("GET", f"{channel}/messages/pins", query={"limit": "1"})
        assert ([one["message"]["id"] for one in page["items"]], page["has_more"]) == ([second], True)
        rest = await bob.request(
            "GET", f"{channel}/messages/pins", query={"before": page["items"][0]["pinned_at"]}
        )
        assert [one["message"]["id"] for one in rest["items"]] == [first]
        for path in (f"{channel}/pins/{reply}", f"{channel}/messages/pins/{first}"):
            with pytest.raises(RestError) as caught:
                await bob.request("PUT" if reply in path else "DELETE", path)
            assert caught.value.code == 50013
        await owner.request("DELETE", f"{channel}/messages/pins/{first}")
        await owner.request("DELETE", f"{channel}/messages/{second}")
        assert await bob.request("GET", f"{channel}/pins") == []


async def test_an_edit_behind_a_deletion_does_not_bring_the_message_back(stack):
    """A node read the message, another one deleted it, and the edit of the first one was appended behind."""
    channel, put = next_id(), PUT
    async with redis_of(stack) as redis:
        names = caches(channel)

        async def note(offset: int, body: str) -> None:
            await put.run(redis, names, [7, offset, body, RECENT_CAP, 0])

        for offset, body in ((1, "made"), (3, ""), (4, "edited")):
            await note(offset, body)
        assert await redis.hget(names[1], "7") == b"3:"
        await redis.delete(*names[:2])
        # The notes may come in the other order, too.
        for offset, body in ((1, "made"), (4, "edited"), (3, "")):
            await note(offset, body)
        assert (await redis.hget(names[1], "7")).endswith(b":")
