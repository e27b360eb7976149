"""Bans, timeouts, invites, leaving and the audit log, through two nodes."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from fanfare.permissions import P
from tests.cases.test_a_rights_live import tries
from tests.world import make_people, make_world
from torture.client import Rest


@pytest.fixture
async def people(stack, nodes):
    """A guild; its owner through one node, two members through the other one."""
    world = await make_world(stack, people=3)
    async with (
        nodes[0].rest(world.people[0]) as owner,
        nodes[1].rest(world.people[1]) as bob,
        nodes[1].rest(world.people[2]) as eve,
    ):
        yield world, owner, bob, eve


async def said(rest: Rest, channel: int) -> set[str]:
    return {message["content"] for message in await rest.messages(channel)}


async def test_a_ban_keeps_somebody_out_and_takes_back_what_they_said(stack, nodes, people, online):
    """What is archived and what is not; on both nodes at once; until it is lifted."""
    world, owner, bob, eve = people
    channel, guild = world.channels[0], f"/guilds/{world.guild}"
    first = await bob.send(channel, "spam 1")
    await eve.send(channel, "hello", message_reference={"message_id": first["id"]})
    await bob.send(channel, "spam 2")
    watcher = await online(nodes[1], world.people[0])
    who = f"{guild}/bans/{world.people[1].id}"
    invite = await owner.request("POST", f"/channels/{channel}/invites", {})
    await owner.request("PUT", who, {"delete_message_seconds": 3600})
    assert await said(owner, channel) == {"hello"}
    assert (await watcher.until("GUILD_BAN_ADD")).d["user"]["id"] == str(world.people[1].id)
    assert (await watcher.until("GUILD_MEMBER_REMOVE")).d["user"]["id"] == str(world.people[1].id)
    assert len((await watcher.until("MESSAGE_DELETE_BULK")).d["ids"]) == 2
    assert await tries(bob, "POST", f"/channels/{channel}/messages", {"content": "x"}) == (403, 50001)
    assert await tries(bob, "POST", f"/invites/{invite['code']}") == (403, 40007)
    assert [ban["user"]["id"] for ban in await owner.request("GET", f"{guild}/bans")] == [
        str(world.people[1].id)
    ]
    assert (await owner.request("GET", who))["reason"] is None
    await owner.request("PUT", who)  # again
    await owner.request("DELETE", who)
    assert await tries(owner, "GET", who) == (404, 10026)
    assert (await bob.request("POST", f"/invites/{invite['code']}"))["new_member"]
    assert await tries(owner, "PUT", f"{guild}/bans/{world.people[0].id}") == (403, 50013)
    assert await tries(owner, "PUT", f"{guild}/bans/5") == (404, 10013)
    stranger = (await make_people(stack, 1))[0]
    many = await owner.request("POST", f"{guild}/bulk-ban", {"user_ids": [str(stranger.id), "5"]})
    assert many == {"banned_users": [str(stranger.id)], "failed_users": ["5"]}


async def test_a_timeout_leaves_nothing_but_reading(nodes, people):
    world, owner, bob, _ = people
    channel, guild = world.channels[0], f"/guilds/{world.guild}"
    role = await owner.request(
        "POST",
        f"{guild}/roles",
        {"name": "staff", "permissions": str(int(P.MANAGE_CHANNELS | P.MODERATE_MEMBERS))},
    )
    me = f"{guild}/members/{world.people[1].id}"
    await owner.request("PUT", f"{me}/roles/{role['id']}")
    until = datetime.now(UTC) + timedelta(minutes=5)
    long = (until + timedelta(days=30)).isoformat()
    assert await tries(owner, "PATCH", me, {"communication_disabled_until": long}) == (400, 50035)
    found = await owner.request("PATCH", me, {"communication_disabled_until": until.isoformat()})
    assert datetime.fromisoformat(found["communication_disabled_until"]) == until
    no = (403, 50013)
    message = await owner.send(channel, "look")
    assert (await said(bob, channel)) == {"look"}
    here = f"/channels/{channel}"
    assert await tries(bob, "POST", f"{here}/messages", {"content": "x"}) == no
    assert await tries(bob, "POST", f"{here}/typing") == no
    assert await tries(bob, "PUT", f"{here}/messages/{message['id']}/reactions/%F0%9F%91%8D/@me") == no
    assert await tries(bob, "PATCH", here, {"topic": "x"}) == no
    assert await tries(bob, "POST", f"{guild}/channels", {"name": "x"}) == no
    assert await tries(bob, "POST", f"{here}/invites", {}) == no
    assert await tries(bob, "PATCH", f"{guild}/members/@me", {"nick": "x"}) == no
    assert await tries(bob, "PATCH", me, {"communication_disabled_until": None}) == no
    await owner.request("PATCH", me, {"communication_disabled_until": None})
    await bob.send(channel, "back")
    administrator = await owner.request("POST", f"{guild}/roles", {"name": "a", "permissions": "8"})
    await owner.request("PUT", f"{me}/roles/{administrator['id']}")
    assert await tries(owner, "PATCH", me, {"communication_disabled_until": until.isoformat()}) == no


async def test_people_join_by_invites(stack, nodes, people, online):
    """Each as often as it says; those who manage the channel hear of it, and nobody else does."""
    world, owner, bob, _ = people
    channel = world.channels[0]
    watcher, plain = await online(nodes[1], world.people[0]), await online(nodes[0], world.people[1])
    path = f"/channels/{channel}/invites"
    made = await bob.request("POST", path, {"max_uses": 2, "max_age": 600})
    assert (made["uses"], made["max_uses"], made["channel"]["id"]) == (0, 2, str(channel))
    assert (await bob.request("POST", path, {"max_uses": 2, "max_age": 600}))["code"] == made["code"]
    other = await bob.request("POST", path, {"max_uses": 2, "max_age": 600, "unique": True})
    assert other["code"] != made["code"]
    assert (await watcher.until("INVITE_CREATE")).d["code"] == made["code"]
    ada, ben, cleo = await make_people(stack, 3)
    guest = await online(nodes[1], ada)
    code = f"/invites/{made['code']}"
    async with nodes[0].rest(ada) as first, nodes[1].rest(ben) as second, nodes[1].rest(cleo) as third:
        assert (await first.request("GET", code))["guild"]["id"] == str(world.guild)
        assert (await first.request("POST", code))["new_member"]
        assert not (await first.request("POST", code))["new_member"]
        assert (await guest.until("GUILD_CREATE")).d["id"] == str(world.guild)
        assert await tries(first, "GET", f"/channels/{channel}/messages") == (200, 0)
        # The last use, by two at once.
        answers = await asyncio.gather(tries(second, "POST", code), tries(third, "POST", code))
        assert sorted(answers) == [(200, 0), (404, 10006)]
        assert (await watcher.until("INVITE_DELETE")).d["code"] == made["code"]
        assert await tries(third, "DELETE", f"/invites/{other['code']}") in {(403, 50013), (403, 50001)}
    assert [one["code"] for one in await owner.request("GET", path)] == [other["code"]]
    await owner.request("DELETE", f"/invites/{other['code']}")
    assert await owner.request("GET", f"/guilds/{world.guild}/invites") == []
    last = await owner.send(channel, "the end")
    while (event := await plain.next()).t != "MESSAGE_CREATE" or event.d["id"] != last["id"]:
        assert not (event.t or "").startswith("INVITE_")


async def test_leaving_taking_in_and_deleting_a_guild(stack, nodes, people, online):
    world, owner, bob, eve = people
    guild = f"/guilds/{world.guild}"
    away = await online(nodes[1], world.people[1])
    assert await tries(owner, "DELETE", f"/users/@me{guild}") == (400, 50055)
    await bob.request("DELETE", f"/users/@me{guild}")
    assert (await away.until("GUILD_DELETE")).d["id"] == str(world.guild)
    assert await tries(bob, "GET", guild) == (403, 50001)
    them = f"{guild}/members/{world.people[1].id}"
    assert await tries(owner, "PUT", them, {"access_token": world.people[2].token}) == (403, 50025)
    role = await owner.request("POST", f"{guild}/roles", {"name": "r"})
    taken = await owner.request("PUT", them, {"access_token": world.people[1].token, "roles": [role["id"]]})
    assert taken["roles"] == [role["id"]]
    assert (await away.until("GUILD_CREATE")).d["id"] == str(world.guild)
    assert await owner.request("PUT", them, {"access_token": world.people[1].token}) is None
    assert (await bob.request("PATCH", f"{guild}/members/@me/nick", {"nick": "rob"})) == {"nick": "rob"}
    clients = [await online(node, who) for node, who in zip(nodes, world.people, strict=False)]
    assert await tries(bob, "DELETE", guild) == (403, 50013)
    await owner.request("DELETE", guild)
    for client in [away, *clients]:
        gone = await client.until("GUILD_DELETE")
        assert (gone.d["id"], "unavailable" in gone.d) == (str(world.guild), False)
    assert await tries(owner, "POST", f"/channels/{world.channels[0]}/messages", {"content": "x"}) in {
        (403, 50001),
        (404, 10003),
    }
    assert await tries(eve, "GET", guild) in {(403, 50001), (404, 10004)}


async def test_the_audit_log_says_who_did_what_and_why(nodes, people, online):
    world, owner, _, _ = people
    guild = f"/guilds/{world.guild}"
    watcher, plain = await online(nodes[1], world.people[0]), await online(nodes[1], world.people[1])
    target = world.people[2].id
    made = await owner.request("POST", f"{guild}/channels", {"name": "new"})
    headers = {"Authorization": world.people[0].token, "X-Audit-Log-Reason": "r%C3%BCde"}
    path = f"{nodes[0].api}{guild}/members/{target}"
    async with aiohttp.ClientSession() as http, http.delete(path, headers=headers) as answer:
        assert answer.status == 204
    seen = [(await watcher.until("GUILD_AUDIT_LOG_ENTRY_CREATE")).d for _ in range(2)]
    log = await owner.request("GET", f"{guild}/audit-logs")
    kicked, created = log["audit_log_entries"]
    assert [kicked["id"], created["id"]] == [entry["id"] for entry in reversed(seen)]
    assert (kicked["action_type"], kicked["target_id"], kicked["reason"]) == (20, str(target), "rüde")
    assert (created["action_type"], created["target_id"]) == (10, made["id"])
    assert {user["id"] for user in log["users"]} >= {str(target), str(world.people[0].id)}
    only = await owner.request("GET", f"{guild}/audit-logs?action_type=20&limit=1")
    assert [entry["id"] for entry in only["audit_log_entries"]] == [kicked["id"]]
    last = await owner.send(world.channels[0], "the end")
    while (event := await plain.next()).t != "MESSAGE_CREATE" or event.d["id"] != last["id"]:
        assert event.t != "GUILD_AUDIT_LOG_ENTRY_CREATE"
