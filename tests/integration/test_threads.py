"""Threads on real nodes: who makes, sees, joins and changes them, and what is said in them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fanfare.ids import snowflake_ms
from fanfare.permissions import P
from tests.world import make_world, store_of
from torture.client import Client, Rest, RestError


@pytest.fixture
async def people(stack, nodes):
    world = await make_world(stack, people=3, channels=2)
    async with (
        nodes[0].rest(world.people[0]) as owner,
        nodes[1].rest(world.people[1]) as member,
        nodes[0].rest(world.people[2]) as other,
    ):
        yield world, owner, member, other


async def refused(doing) -> tuple[int, int]:
    with pytest.raises(RestError) as caught:
        await doing
    return caught.value.status, caught.value.code


async def permit(owner: Rest, guild: int, bits: int) -> None:
    """Give everybody these bits besides."""
    [everyone] = [
        role for role in await owner.request("GET", f"/guilds/{guild}/roles") if role["id"] == str(guild)
    ]
    body = {"permissions": str(int(everyone["permissions"]) | bits)}
    await owner.request("PATCH", f"/guilds/{guild}/roles/{guild}", body)


async def test_a_thread_of_a_message_from_its_making_to_its_end(nodes, people, online):
    world, owner, member, other = people
    channel = world.channels[0]
    watcher = await online(nodes[1], world.people[2])
    said = await owner.send(channel, "a subject")
    path = f"/channels/{channel}/messages/{said['id']}/threads"
    thread = await member.request("POST", path, {"name": "on it", "auto_archive_duration": 60})
    assert (thread["id"], thread["type"], thread["parent_id"]) == (said["id"], 11, str(channel))
    assert (thread["member"]["user_id"], thread["owner_id"]) == (str(world.people[1].id),) * 2
    told = (await watcher.until("THREAD_CREATE")).d
    assert (told["id"], told["newly_created"]) == (thread["id"], True)
    joined = (await watcher.until("THREAD_MEMBERS_UPDATE")).d
    assert [one["user_id"] for one in joined["added_members"]] == [thread["owner_id"]]
    marked = (await watcher.until("MESSAGE_UPDATE")).d
    assert (marked["flags"] & 32, marked["thread"]["id"]) == (32, thread["id"])
    assert await refused(owner.request("POST", path, {"name": "again"})) == (400, 160004)
    assert thread["id"] not in {
        one["id"] for one in await owner.request("GET", f"/guilds/{world.guild}/channels")
    }

    for number in range(3):
        await other.send(int(thread["id"]), f"in it {number}")
    contents = [(await watcher.until("MESSAGE_CREATE")).d["content"] for _ in range(3)]
    assert contents == ["in it 0", "in it 1", "in it 2"]
    # Who says something has joined.
    while True:
        members = await owner.request("GET", f"/channels/{thread['id']}/thread-members?with_member=true")
        if len(members) == 2:
            break
        await asyncio.sleep(0.02)
    assert {one["member"]["user"]["id"] for one in members} == {str(one.id) for one in world.people[1:]}

    mine = f"/channels/{thread['id']}"
    one = await owner.request("GET", f"{mine}/thread-members/{world.people[1].id}?with_member=1")
    assert one["member"]["user"]["id"] == one["user_id"]
    for method in ("GET", "PUT"):
        assert await refused(owner.request(method, f"{mine}/thread-members/5")) == (404, 10007)
    assert await refused(other.request("PATCH", mine, {"name": "taken"})) == (403, 50013)
    assert await refused(member.request("PATCH", mine, {"locked": True})) == (403, 50013)
    assert (await member.request("PATCH", mine, {"name": "renamed"}))["name"] == "renamed"
    archived = await member.request("PATCH", mine, {"archived": True})
    assert archived["thread_metadata"]["archived"] is True
    while (told := (await watcher.until("THREAD_UPDATE")).d)["thread_metadata"]["archived"] is False:
        pass
    assert told["name"] == "renamed"
    assert await refused(member.request("PATCH", mine, {"name": "x"})) == (400, 50083)
    found = await other.request("GET", f"/channels/{channel}/threads/archived/public")
    assert ([one["id"] for one in found["threads"]], found["has_more"]) == ([thread["id"]], False)
    assert [one["user_id"] for one in found["members"]] == [str(world.people[2].id)]
    assert (await other.request("GET", f"/guilds/{world.guild}/threads/active"))["threads"] == []
    page = await other.request("GET", f"{mine}/messages")
    assert [one["content"] for one in page] == ["in it 2", "in it 1", "in it 0"]
    assert await refused(other.request("DELETE", f"{mine}/messages/{page[0]['id']}")) == (400, 50083)
    react = f"{mine}/messages/{page[0]['id']}/reactions/%F0%9F%91%8D/@me"
    assert await refused(other.request("PUT", react)) == (400, 50083)
    # Saying something opens it.
    await other.send(int(thread["id"]), "still there?")
    assert (await watcher.until("THREAD_UPDATE")).d["thread_metadata"]["archived"] is False
    while (await watcher.until("MESSAGE_CREATE")).d["content"] != "still there?":
        pass
    await owner.request("PATCH", mine, {"archived": True, "locked": True})
    assert await refused(other.send(int(thread["id"]), "x")) == (400, 50083)
    assert await refused(member.request("PATCH", mine, {"archived": False})) == (403, 50013)
    assert await refused(member.request("DELETE", mine)) == (403, 50013)
    await owner.request("DELETE", mine)
    assert (await watcher.until("THREAD_DELETE")).d["id"] == thread["id"]
    assert await refused(owner.request("GET", mine)) == (404, 10003)
    log = await owner.request("GET", f"/guilds/{world.guild}/audit-logs")
    assert {110, 111, 112} <= {entry["action_type"] for entry in log["audit_log_entries"]}


async def test_a_private_thread_is_there_for_those_who_joined_it(nodes, people, online):
    world, owner, member, other = people
    channel = world.channels[0]
    await permit(owner, world.guild, int(P.CREATE_PRIVATE_THREADS))
    inside, outside = await online(nodes[1], world.people[1]), await online(nodes[0], world.people[2])
    thread = await member.request(
        "POST", f"/channels/{channel}/threads", {"name": "quiet", "type": 12, "invitable": False}
    )
    path = f"/channels/{thread['id']}"
    assert (await inside.until("THREAD_CREATE")).d["id"] == thread["id"]
    await member.send(int(thread["id"]), "among us")
    assert (await inside.until("MESSAGE_CREATE")).d["content"] == "among us"
    for request in (
        other.request("GET", path),
        other.request("GET", f"{path}/messages"),
        other.send(int(thread["id"]), "hello?"),
        other.request("PUT", f"{path}/thread-members/@me"),
        other.request("GET", f"{path}/thread-members"),
    ):
        assert await refused(request) == (403, 50001)
    assert (await other.request("GET", f"/guilds/{world.guild}/threads/active"))["threads"] == []
    third = f"{path}/thread-members/{world.people[2].id}"
    await member.request("PUT", third)
    assert (await outside.until("THREAD_CREATE")).d["id"] == thread["id"]
    await member.send(int(thread["id"]), "now with you")
    # Nothing of what was said before came to them, and nothing else did.
    assert (await outside.until("MESSAGE_CREATE")).d["content"] == "now with you"
    assert await refused(other.request("DELETE", f"{path}/thread-members/{world.people[1].id}")) == (
        403,
        50013,
    )
    await member.request("DELETE", third)
    while str(world.people[2].id) not in (await outside.until("THREAD_MEMBERS_UPDATE")).d.get(
        "removed_member_ids", ()
    ):
        pass
    await member.send(int(thread["id"]), "without you")
    await member.send(channel, "to all")
    assert (await outside.until("MESSAGE_CREATE")).d["content"] == "to all"
    # Who leaves the guild leaves its private threads.
    await member.request("PUT", third)
    await owner.request("DELETE", f"/guilds/{world.guild}/members/{world.people[2].id}")
    assert len(await member.request("GET", f"{path}/thread-members")) == 1


async def test_a_forum_holds_threads_only(nodes, people, online):
    world, owner, member, other = people
    forum = await owner.request("POST", f"/guilds/{world.guild}/channels", {"name": "questions", "type": 15})
    watcher = await online(nodes[1], world.people[2])
    assert await refused(member.send(int(forum["id"]), "x")) == (400, 50008)
    made = await member.request(
        "POST", f"/channels/{forum['id']}/threads", {"name": "how?", "message": {"content": "like this?"}}
    )
    assert made["id"] == made["message"]["id"] == made["message"]["channel_id"]
    assert (await watcher.until("THREAD_CREATE")).d["name"] == "how?"
    assert (await watcher.until("MESSAGE_CREATE")).d["content"] == "like this?"
    empty = {"name": "how?", "message": {}}
    assert await refused(member.request("POST", f"/channels/{forum['id']}/threads", empty)) == (400, 50006)
    assert len((await other.request("GET", f"/guilds/{world.guild}/threads/active"))["threads"]) == 1
    await owner.request("DELETE", f"/channels/{forum['id']}")
    assert (await watcher.until("THREAD_DELETE")).d["id"] == made["id"]
    assert (await watcher.until("CHANNEL_DELETE")).d["id"] == forum["id"]
    assert await refused(member.request("GET", f"/channels/{made['id']}")) == (404, 10003)


async def test_threads_of_a_forum_have_tags(nodes, people, online):
    world, owner, member, _ = people
    channels = f"/guilds/{world.guild}/channels"
    tags = [{"name": "bug"}, {"name": "solved", "moderated": True, "emoji_name": "\N{PARTY POPPER}"}]
    for wrong in (
        [{"name": "x" * 21}], [{"moderated": True}], [{"name": "a"}, {"name": "a"}], [{"name": "a", "id": "5"}],
        [{"name": str(number)} for number in range(21)],
    ):  # fmt: skip
        body = {"name": "f", "type": 15, "available_tags": wrong}
        assert await refused(owner.request("POST", channels, body)) == (400, 50035)
    body = {"name": "f", "type": 0, "available_tags": tags}
    assert await refused(owner.request("POST", channels, body)) == (400, 50035)
    forum = await owner.request("POST", channels, {"name": "help", "type": 15, "available_tags": tags})
    bug, solved = forum["available_tags"]
    assert (bug["name"], bug["moderated"], bug["emoji_id"], bug["emoji_name"]) == ("bug", False, None, None)
    assert (solved["moderated"], solved["emoji_name"]) == (True, "\N{PARTY POPPER}")
    watcher = await online(nodes[1], world.people[2])

    threads = f"/channels/{forum['id']}/threads"
    post = {"name": "it broke", "message": {"content": "help"}}
    said = refused(member.request("POST", threads, post | {"applied_tags": ["5"]}))
    assert await said == (400, 50035)
    said = refused(member.request("POST", threads, post | {"applied_tags": [solved["id"]]}))
    assert await said == (403, 50013)
    made = await member.request("POST", threads, post | {"applied_tags": [bug["id"]]})
    assert made["applied_tags"] == [bug["id"]]
    assert (await watcher.until("THREAD_CREATE")).d["applied_tags"] == [bug["id"]]
    path = f"/channels/{made['id']}"
    assert await refused(member.request("PATCH", path, {"applied_tags": [solved["id"]]})) == (403, 50013)
    await owner.request("PATCH", path, {"applied_tags": [bug["id"], solved["id"]]})
    assert (await watcher.until("THREAD_UPDATE")).d["applied_tags"] == [bug["id"], solved["id"]]

    # A tag keeps its id under another name; one that is gone may stay on threads, and comes on none.
    changed = [{"id": solved["id"], "name": "done"}, {"name": "new"}]
    after = await owner.request("PATCH", f"/channels/{forum['id']}", {"available_tags": changed})
    assert [one["name"] for one in after["available_tags"]] == ["done", "new"]
    assert after["available_tags"][0]["id"] == solved["id"]
    assert (await watcher.until("CHANNEL_UPDATE")).d["available_tags"] == after["available_tags"]
    kept = await member.request("PATCH", path, {"name": "it works"})
    assert kept["applied_tags"] == [bug["id"], solved["id"]]
    said = refused(member.request("POST", threads, post | {"applied_tags": [bug["id"]]}))
    assert await said == (400, 50035)
    # Also who comes later is shown them.
    async with await Client.connect(nodes[0].gateway, world.people[1].session()) as client:
        create = next(each for each in await client.start() if each.t == "GUILD_CREATE")
    [shown] = [one for one in create.d["channels"] if one["id"] == forum["id"]]
    assert shown["available_tags"] == after["available_tags"]


async def test_an_announcement_is_published_once_and_a_webhook_speaks_in_a_thread(nodes, people):
    world, owner, member, _ = people
    news = await owner.request("POST", f"/guilds/{world.guild}/channels", {"name": "news", "type": 5})
    said = await owner.send(int(news["id"]), "read this")
    path = f"/channels/{news['id']}/messages/{said['id']}"
    assert await refused(member.request("POST", f"{path}/crosspost")) == (403, 50013)
    assert (await owner.request("POST", f"{path}/crosspost"))["flags"] == 1
    assert await refused(owner.request("POST", f"{path}/crosspost")) == (400, 40033)
    thread = await member.request("POST", f"{path}/threads", {"name": "on the news"})
    assert thread["type"] == 10
    hook = await owner.request("POST", f"/channels/{news['id']}/webhooks", {"name": "news"})
    async with Rest(nodes[0].api, "") as anybody:
        by_token = f"/webhooks/{hook['id']}/{hook['token']}"
        message = await anybody.request(
            "POST", by_token, {"content": "in it"}, query={"wait": "true", "thread_id": thread["id"]}
        )
        assert message["channel_id"] == thread["id"]
        elsewhere = {"thread_id": str(world.channels[1])}
        assert await refused(anybody.request("POST", by_token, {"content": "x"}, query=elsewhere)) == (
            404,
            10003,
        )


async def test_a_thread_in_which_nothing_is_said_is_archived(stack, nodes, people):
    world, owner, member, _ = people
    thread = await member.request(
        "POST",
        f"/channels/{world.channels[0]}/threads",
        {"name": "x", "type": 11, "auto_archive_duration": 60},
    )
    ident = int(thread["id"])
    said = int((await member.send(ident, "the last word"))["id"])
    async with store_of(stack) as store:

        async def archived(**later: float) -> bool:
            moment = datetime.fromtimestamp(snowflake_ms(said) / 1000, UTC) + timedelta(minutes=60, **later)
            await store.archive_idle(moment)
            channel = await store.channel(ident)
            assert channel is not None
            assert channel.thread is not None
            return channel.thread.archived

        while await store.message(ident, said) is None:
            await asyncio.sleep(0.05)
        # The thread is older than that; what was said in it is not.
        assert not await archived(milliseconds=-1)
        assert await archived(milliseconds=2)
        assert await store.long_archived(world.guild, 10) == []
        await store.database.fetch(
            "UPDATE channels SET changed_at = now() - interval '2 days' WHERE id = $1", ident
        )
        [found] = await store.long_archived(world.guild, 10)
        assert (found.id, [one.id for one in found.thread.members]) == (ident, [world.people[1].id])
    assert await owner.request("GET", f"/channels/{thread['id']}")
