"""Rights over the real REST: what members try, and every route as everybody who may not."""

import asyncio
import secrets
from typing import Any

import pytest

from fanfare.permissions import P
from gateway.rest.app import ROUTES
from tests.world import World, make_people, make_world
from torture.client import Rest, RestError

LONG = "communication_disabled_until"


async def tries(rest: Rest, method: str, path: str, body: Any = None) -> tuple[int, int]:
    """Status and code of an answer; (200, 0) whatever good it was."""
    try:
        await rest.request(method, path, body)
    except RestError as error:
        return error.status, error.code
    return 200, 0


@pytest.fixture
async def staffed(stack, nodes):
    """A guild in which bob has a role of his own, with bits that the test gives it."""
    world = await make_world(stack, people=3, channels=2)
    async with nodes[0].rest(world.people[0]) as owner:
        boss = await owner.request(
            "POST", f"/guilds/{world.guild}/roles", {"name": "boss", "permissions": "8", "position": 9}
        )
        role = await owner.request(
            "POST", f"/guilds/{world.guild}/roles", {"name": "staff", "permissions": "0", "position": 5}
        )
        await owner.request("PUT", f"/guilds/{world.guild}/members/{world.people[1].id}/roles/{role['id']}")

        async def grant(*bits: P) -> None:
            path = f"/guilds/{world.guild}/roles/{role['id']}"
            await owner.request("PATCH", path, {"permissions": str(sum(int(bit) for bit in bits))})

        yield world, owner, grant, role["id"], boss["id"]


async def test_a1_a_member_does_not_climb(nodes, staffed):
    world, _, grant, staff, boss = staffed
    await grant(P.MANAGE_ROLES)
    bob = world.people[1]
    roles, mine = f"/guilds/{world.guild}/roles", f"/guilds/{world.guild}/members/{bob.id}/roles"
    async with nodes[0].rest(bob) as rest, nodes[1].rest(bob) as elsewhere:
        made = await rest.request("POST", roles, {"name": "ladder"})
        assert await tries(rest, "PUT", f"{mine}/{made['id']}") == (200, 0)
        assert await tries(rest, "PATCH", f"{roles}/{made['id']}", {"position": 99_99}) == (403, 50013)
        assert await tries(elsewhere, "PATCH", f"{roles}/{made['id']}", {"permissions": "8"}) == (403, 50013)
        assert await tries(rest, "PUT", f"{mine}/{boss}") == (403, 50013)
        assert await tries(rest, "PATCH", f"/guilds/{world.guild}/members/{bob.id}", {"roles": [boss]}) == (
            403,
            50013,
        )
        assert await tries(rest, "PATCH", f"{roles}/{staff}", {"name": "mine"}) == (403, 50013)
        assert await tries(rest, "POST", roles, {"permissions": "8"}) == (403, 50013)
        assert await tries(rest, "PATCH", f"{roles}/{world.guild}", {"name": "x"}) == (400, 50028)


async def test_a1_two_changes_at_once_are_judged_one_after_the_other(nodes, staffed):
    """The decision is made under the guild's lock: a right that is taken away meanwhile is gone."""
    world, owner, grant, _, _ = staffed
    await grant(P.MANAGE_ROLES)
    async with nodes[1].rest(world.people[1]) as bob:
        roles = f"/guilds/{world.guild}/roles"
        answers = await asyncio.gather(
            grant(), *(tries(bob, "POST", roles, {"name": f"r{n}"}) for n in range(10))
        )
        assert {answer for answer in answers if answer} <= {(200, 0), (403, 50013)}
        assert await tries(bob, "POST", roles, {"name": "late"}) == (403, 50013)
        assert await tries(owner, "GET", roles) == (200, 0)


async def test_a2_overwrites_by_every_way(nodes, staffed):
    world, owner, grant, _, boss = staffed
    await grant(P.MANAGE_CHANNELS)
    channel = f"/channels/{world.channels[0]}"
    deny = [{"id": str(world.guild), "type": 0, "allow": "0", "deny": str(int(P.SEND_MESSAGES))}]
    await owner.request("PATCH", channel, {"permission_overwrites": deny})
    async with nodes[0].rest(world.people[1]) as bob:
        assert await tries(bob, "PATCH", channel, {"permission_overwrites": []}) == (403, 50013)
        assert await tries(bob, "PATCH", channel, {"permission_overwrites": deny, "topic": "fine"}) == (
            200,
            0,
        )
        made = {"name": "x", "permission_overwrites": deny}
        assert await tries(bob, "POST", f"/guilds/{world.guild}/channels", made) == (403, 50013)
        assert await tries(bob, "PUT", f"{channel}/permissions/{boss}", {"type": 0, "allow": "1024"}) == (
            403,
            50013,
        )
        assert await tries(bob, "DELETE", f"{channel}/permissions/{world.guild}") == (403, 50013)
        await grant(P.MANAGE_CHANNELS, P.MANAGE_ROLES)
        wrong = [deny[0] | {"allow": str(int(P.BAN_MEMBERS))}]
        assert await tries(bob, "PATCH", channel, {"permission_overwrites": wrong}) == (403, 50013)
        assert await tries(bob, "PATCH", channel, {"permission_overwrites": []}) == (200, 0)


@pytest.mark.parametrize("target", ["0", "5", "9223372036854775807"])
async def test_a4_overwrites_for_nobody(nodes, world, target):
    channel = world.channels[0]
    async with nodes[0].rest(world.people[0]) as owner:
        for kind in (0, 1):
            body = {"type": kind, "allow": "1024"}
            assert await tries(owner, "PUT", f"/channels/{channel}/permissions/{target}", body) == (
                400,
                50035,
            )
        body = {"permission_overwrites": [{"id": target, "type": 1, "allow": "1024"}]}
        assert await tries(owner, "PATCH", f"/channels/{channel}", body) == (400, 50035)


async def test_a5_channels_keep_in_step_with_their_category(nodes, world):
    guild, view = world.guild, str(int(P.VIEW_CHANNEL))
    hidden = [{"id": str(guild), "type": 0, "allow": "0", "deny": view}]
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:
        make = f"/guilds/{guild}/channels"
        category = await owner.request(
            "POST", make, {"name": "club", "type": 4, "permission_overwrites": hidden}
        )
        inside = await owner.request("POST", make, {"name": "inside", "parent_id": category["id"]})
        assert [one["deny"] for one in inside["permission_overwrites"]] == [view]
        assert await tries(bob, "GET", f"/channels/{inside['id']}/messages") == (403, 50001)
        apart = await owner.request(
            "POST", make, {"name": "apart", "parent_id": category["id"], "permission_overwrites": []}
        )
        await owner.request("PATCH", f"/channels/{category['id']}", {"permission_overwrites": []})
        assert await tries(bob, "GET", f"/channels/{inside['id']}/messages") == (200, 0)
        await owner.request("PATCH", f"/channels/{apart['id']}", {"permission_overwrites": hidden})
        await owner.request(
            "PUT",
            f"/channels/{category['id']}/permissions/{guild}",
            {"type": 0, "deny": str(int(P.ADD_REACTIONS))},
        )
        kept = await owner.request("GET", f"/channels/{apart['id']}")
        assert [one["deny"] for one in kept["permission_overwrites"]] == [view], "it was not in step"
        followed = await owner.request("GET", f"/channels/{inside['id']}")
        assert [one["deny"] for one in followed["permission_overwrites"]] == [str(int(P.ADD_REACTIONS))]
        await owner.request(
            "PATCH", make, [{"id": apart["id"], "parent_id": category["id"], "lock_permissions": True}]
        )
        locked = await owner.request("GET", f"/channels/{apart['id']}")
        assert locked["permission_overwrites"] == followed["permission_overwrites"]


async def test_a5_nobody_locks_a_channel_to_a_category_that_they_cannot_see(nodes, staffed):
    world, owner, grant, staff, _ = staffed
    await grant(P.MANAGE_CHANNELS, P.MANAGE_ROLES)
    make = f"/guilds/{world.guild}/channels"
    category = await owner.request("POST", make, {"name": "club", "type": 4})
    inside = await owner.request("POST", make, {"name": "inside", "parent_id": category["id"]})
    hidden = [{"id": staff, "type": 0, "allow": "0", "deny": str(int(P.VIEW_CHANNEL))}]
    lock = {"lock_permissions": True}
    async with nodes[1].rest(world.people[1]) as bob:
        assert await tries(bob, "PATCH", make, [{"id": inside["id"], **lock}]) == (200, 0)
        await owner.request("PATCH", f"/channels/{inside['id']}", {"topic": "apart"})
        body = {"permission_overwrites": [hidden[0] | {"deny": str(int(P.ADD_REACTIONS))}]}
        await owner.request("PATCH", f"/channels/{inside['id']}", body)
        await owner.request("PATCH", f"/channels/{category['id']}", {"permission_overwrites": hidden})
        for body in (lock, lock | {"parent_id": category["id"]}, lock | {"position": 3}):
            assert await tries(bob, "PATCH", make, [{"id": inside["id"], **body}]) == (400, 50035), body
        other = [{"id": str(world.channels[0]), "parent_id": category["id"], **lock}]
        assert await tries(bob, "PATCH", make, other) == (400, 50035)
        for parent in ("999", str(world.channels[1])):
            other = [{"id": str(world.channels[0]), "parent_id": parent, **lock}]
            assert await tries(bob, "PATCH", make, other) == (400, 50035)
        assert (await bob.request("GET", f"/channels/{inside['id']}"))["permission_overwrites"] != hidden


async def test_a5_the_overwrites_of_who_has_left_are_taken_over(nodes, staffed):
    world, owner, _, _, _ = staffed
    make, carol = f"/guilds/{world.guild}/channels", world.people[2]
    rule = {"id": str(carol.id), "type": 1, "allow": "0", "deny": str(int(P.SEND_MESSAGES))}
    category = await owner.request("POST", make, {"name": "c", "type": 4, "permission_overwrites": [rule]})
    await owner.request("DELETE", f"/guilds/{world.guild}/members/{carol.id}")
    move = {"id": str(world.channels[0]), "parent_id": category["id"], "lock_permissions": True}
    assert await tries(owner, "PATCH", make, [move]) == (200, 0)
    assert (await owner.request("GET", f"/channels/{world.channels[0]}"))["permission_overwrites"] == [rule]
    async with nodes[1].rest(world.people[0]) as elsewhere:
        # What libraries do to put a channel in step: they send what the category has.
        body = {"parent_id": category["id"], "permission_overwrites": [rule]}
        assert await tries(elsewhere, "PATCH", f"/channels/{world.channels[1]}", body) == (200, 0)
        assert await tries(elsewhere, "POST", make, {"name": "x", **body}) == (200, 0)
        body["permission_overwrites"] = [rule | {"allow": "1024"}]
        assert await tries(elsewhere, "POST", make, {"name": "x", **body}) == (400, 50035)


async def test_a1_roles_are_moved_within_what_one_stands_above(nodes, staffed, online):
    world, owner, grant, staff, boss = staffed
    await grant(P.MANAGE_ROLES)
    roles = f"/guilds/{world.guild}/roles"
    low, middle = [
        await owner.request("POST", roles, {"name": n, "position": 1 + k}) for k, n in enumerate("ab")
    ]
    watching = await online(nodes[1], world.people[2])
    everyone = {"id": str(world.guild), "position": 0}
    async with nodes[1].rest(world.people[1]) as bob, nodes[0].rest(world.people[2]) as carol:
        assert await tries(carol, "PATCH", roles, [{"id": low["id"], "position": 1}]) == (403, 50013)
        for wrong in (
            [{"id": low["id"], "position": 6}],
            [{"id": low["id"], "position": 3}, {"id": middle["id"], "position": 9}],
            [{"id": staff, "position": 1}],
            [{"id": boss, "position": 1}],
        ):
            assert await tries(bob, "PATCH", roles, wrong) == (403, 50013), wrong
        for wrong in (
            [{"id": low["id"], "position": 0}],
            [everyone | {"position": 1}],
            [{"id": low["id"], "position": 10_001}],
            [{"id": low["id"], "position": 2, "name": "x"}],
            [{"position": 2}],
            {"id": low["id"]},
        ):
            assert (await tries(owner, "PATCH", roles, wrong))[0] == 400, wrong
        assert await tries(owner, "PATCH", roles, [{"id": "5", "position": 2}]) == (404, 10011)
        # Who stays where they are may be named, whoever they are.
        moves = [{"id": low["id"], "position": 2}, {"id": middle["id"], "position": 1}]
        stay = [everyone, {"id": boss, "position": 9}, {"id": staff, "position": None}, {"id": staff}]
        told = await bob.request("PATCH", roles, moves + stay)
        assert [role["id"] for role in told] == [str(world.guild), middle["id"], low["id"], staff, boss]
        assert told == await owner.request("GET", roles)
        assert await bob.request("PATCH", roles, moves + stay) == told, "it is so already"
        await owner.send(world.channels[0], "end")
    events = [await watching.next()]
    while events[-1].t != "MESSAGE_CREATE":
        events.append(await watching.next())
    assert [(event.t, event.d["role"]["id"], event.d["role"]["position"]) for event in events[:-1]] == [
        ("GUILD_ROLE_UPDATE", low["id"], 2),
        ("GUILD_ROLE_UPDATE", middle["id"], 1),
    ]


async def test_a6_a_voice_channel_that_one_may_not_connect_to(nodes, world, online):
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:
        deny = [{"id": str(world.guild), "type": 0, "allow": "0", "deny": str(int(P.CONNECT))}]
        body = {"name": "voice", "type": 2, "permission_overwrites": deny}
        voice = await owner.request("POST", f"/guilds/{world.guild}/channels", body)
        messages = f"/channels/{voice['id']}/messages"
        made = await owner.send(voice["id"], "hello")
        for method, path, body in (
            ("GET", messages, None),
            ("POST", messages, {"content": "x"}),
            ("GET", f"{messages}/{made['id']}", None),
            ("PATCH", f"{messages}/{made['id']}", {"content": "x"}),
            ("DELETE", f"{messages}/{made['id']}", None),
            ("POST", f"/channels/{voice['id']}/typing", None),
        ):
            assert (await tries(bob, method, path, body))[0] == 403, (method, path)


async def test_a6_an_author_who_may_not_connect_any_more_changes_nothing(nodes, world):
    """Flags too: everybody in the channel gets an event of it."""
    async with nodes[0].rest(world.people[0]) as owner, nodes[1].rest(world.people[1]) as bob:
        voice = await owner.request("POST", f"/guilds/{world.guild}/channels", {"name": "voice", "type": 2})
        channel = f"/channels/{voice['id']}"
        made = await bob.send(voice["id"], "hello")
        path, rule = f"{channel}/messages/{made['id']}", f"{channel}/permissions/{world.guild}"
        changes = [{"flags": 4}, {"flags": 0}, {}, {"content": "x"}]
        for bit in (P.CONNECT, P.SEND_MESSAGES):
            assert await tries(bob, "PATCH", path, {"flags": 4}) == (200, 0)
            await owner.request("PUT", rule, {"type": 0, "deny": str(int(bit))})
            assert [await tries(bob, "PATCH", path, body) for body in changes] == [(403, 50013)] * 4, bit
            await owner.request("DELETE", rule)


async def test_a6_a_manager_who_may_not_connect_manages_nothing_there(nodes, staffed):
    world, owner, grant, staff, _ = staffed
    await grant(P.MANAGE_CHANNELS, P.MANAGE_ROLES, P.MANAGE_MESSAGES)
    voice = await owner.request("POST", f"/guilds/{world.guild}/channels", {"name": "voice", "type": 2})
    made = await owner.send(voice["id"], "hello")
    channel = f"/channels/{voice['id']}"
    rule = f"{channel}/permissions/{staff}"
    tried = [
        ("PATCH", channel, {"name": "x"}),
        ("PATCH", f"/guilds/{world.guild}/channels", [{"id": voice["id"], "position": 3}]),
        ("PUT", f"{channel}/permissions/{world.guild}", {"type": 0, "allow": str(int(P.SPEAK))}),
        ("DELETE", f"{channel}/messages/{made['id']}", None),
        ("DELETE", channel, None),
    ]
    await owner.request("PUT", rule, {"type": 0, "deny": str(int(P.CONNECT))})
    async with nodes[1].rest(world.people[1]) as bob:
        assert [await tries(bob, *one) for one in tried] == [(403, 50013)] * len(tried)
        assert await tries(bob, "DELETE", rule) == (403, 50013)
        assert (await bob.request("GET", channel))["name"] == "voice", "it may be seen"


async def test_a7_an_edit_wants_the_rights_of_a_send(nodes, staffed):
    world, owner, _, _, _ = staffed
    channel = world.channels[0]
    async with nodes[0].rest(world.people[2]) as carol:
        made = await carol.send(channel, "plain")
        path = f"/channels/{channel}/messages/{made['id']}"
        rule = f"/channels/{channel}/permissions/{world.guild}"
        await owner.request("PUT", rule, {"type": 0, "deny": str(int(P.EMBED_LINKS))})
        assert await tries(carol, "PATCH", path, {"embeds": [{"title": "x"}]}) == (403, 50013)
        assert await tries(carol, "PATCH", path, {"content": "changed"}) == (200, 0)
        await owner.request("PUT", rule, {"type": 0, "deny": str(int(P.SEND_MESSAGES))})
        assert await tries(carol, "PATCH", path, {"content": "again"}) == (403, 50013)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/guilds/{guild}/members/{other}", {"mute": True}, "mute"),
        ("/guilds/{guild}/members/{other}", {LONG: "2030-01-01T00:00:00Z"}, LONG),
        ("/guilds/{guild}/members/@me", {"avatar": "data:image/png;base64,x"}, "avatar"),
        ("/guilds/{guild}", {"icon": "data:image/png;base64,x"}, "icon"),
        ("/guilds/{guild}", {"splash": "data:image/png;base64,x"}, "splash"),
        ("/channels/{channel}", {"bitrate": 64_000}, "bitrate"),
        ("/channels/{channel}", {"type": 5}, "type"),
        ("/guilds/{guild}/roles/{guild}", {"icon": "x"}, "icon"),
    ],
)  # fmt: skip
async def test_b9_fields_that_are_not_supported_are_named(nodes, world, path, body, field):
    path = path.format(guild=world.guild, channel=world.channels[0], other=world.people[1].id)
    async with nodes[0].rest(world.people[0]) as owner:
        with pytest.raises(RestError) as caught:
            await owner.request("PATCH", path, body)
        assert (caught.value.status, list(caught.value.body["errors"])) == (400, [field])
        assert await tries(owner, "PATCH", path, {field: None}) == (200, 0)


# Every route, as everybody who may not. What is answered to the outsider, to somebody who was kicked, and to a plain
# member: a set of what may be. 200 stands for any good answer; "own" are routes about oneself.
OWN = {(200, 0), (400, 50035), (404, 10013), (400, 50033)}
NO_GUILD = {(403, 50001)}
NO = {(403, 50013)}
LOOK = {(200, 0)}
TABLE: dict[tuple[str, str], tuple[set[tuple[int, int]], set[tuple[int, int]]]] = {
    ("GET", "/oauth2/applications/@me"): (OWN, OWN),
    ("GET", "/applications/@me"): (OWN, OWN),
    **{
        (method, f"/applications/{{application}}/{place}commands{path}"): (NO_GUILD, NO_GUILD)
        for place in ("", "guilds/{guild}/")
        for path, methods in (("", ("GET", "PUT", "POST")), ("/{command}", ("GET", "PATCH", "DELETE")))
        for method in methods
    },
    ("GET", "/guilds/{guild}/application-command-index"): (NO_GUILD, LOOK),
    **{
        (method, f"/applications/{{application}}/guilds/{{guild}}/commands{path}"): (NO_GUILD, NO)
        for method, path in (
            ("GET", "/permissions"),
            ("GET", "/{command}/permissions"),
            ("PUT", "/{command}/permissions"),
        )
    },
    ("GET", "/voice/regions"): (OWN, OWN),
    ("GET", "/sticker-packs"): (OWN, OWN),
    ("GET", "/users/@me/guilds/{guild}/member"): (NO_GUILD, LOOK),
    **{
        ("GET", f"/guilds/{{guild}}/{what}"): (NO_GUILD, LOOK)
        for what in (
            "auto-moderation/rules",
            "emojis",
            "integrations",
            "onboarding",
            "regions",
            "scheduled-events",
            "soundboard-sounds",
            "stickers",
            "templates",
        )
    },
    ("GET", "/guilds/{guild}/vanity-url"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/widget"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/welcome-screen"): (NO_GUILD, {(404, 10069)}),
    **{
        ("GET", f"/applications/{{application}}/{what}"): (NO_GUILD, NO_GUILD)
        for what in ("emojis", "entitlements", "role-connections/metadata", "skus")
    },
    ("POST", "/interactions"): (NO_GUILD, {(404, 10002)}),
    ("POST", "/interactions/{interaction}/{token}/callback"): ({(404, 10062)}, {(404, 10062)}),
    ("POST", "/webhooks/{webhook}/{token}"): ({(404, 10015)}, {(404, 10015)}),
    **{
        (method, f"/webhooks/{{webhook}}{path}"): ({(404, 10015)}, {(404, 10015)})
        for method, path in (
            *((method, path) for method in ("GET", "PATCH", "DELETE") for path in ("", "/{token}")),
            ("POST", "/{token}/slack"),
            ("POST", "/{token}/github"),
        )
    },
    ("POST", "/channels/{channel}/messages/{message}/crosspost"): (NO_GUILD, {(400, 50024)}),
    ("POST", "/channels/{channel}/messages/{message}/threads"): (NO_GUILD, LOOK | {(400, 160004)}),
    ("POST", "/channels/{channel}/threads"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/threads/active"): (NO_GUILD, LOOK),
    ("GET", "/channels/{channel}/threads/archived/public"): (NO_GUILD, LOOK),
    ("GET", "/channels/{channel}/threads/archived/private"): (NO_GUILD, NO),
    ("GET", "/channels/{channel}/users/@me/threads/archived/private"): (NO_GUILD, LOOK),
    ("GET", "/channels/{channel}/thread-members"): (NO_GUILD, {(400, 50024)}),
    **{
        (method, f"/channels/{{channel}}/thread-members/{who}"): (NO_GUILD, {(400, 50024)})
        for who, methods in (("@me", ("PUT", "DELETE")), ("{user}", ("GET", "PUT", "DELETE")))
        for method in methods
    },
    ("POST", "/channels/{channel}/webhooks"): (NO_GUILD, NO),
    ("GET", "/channels/{channel}/webhooks"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/webhooks"): (NO_GUILD, NO),
    **{
        (method, f"/webhooks/{{webhook}}/{{token}}/messages/{which}"): ({(404, 10015)}, {(404, 10015)})
        for method in ("GET", "PATCH", "DELETE")
        for which in ("@original", "{message}")
    },
    ("GET", "/soundboard-default-sounds"): (OWN, OWN),
    ("GET", "/gateway"): (OWN, OWN),
    ("GET", "/gateway/bot"): (OWN, OWN),
    ("GET", "/users/@me"): (OWN, OWN),
    ("GET", "/users/{user}"): (OWN, OWN),
    ("GET", "/users/@me/guilds"): (OWN, OWN),
    ("GET", "/users/@me/channels"): (OWN, OWN),
    ("POST", "/users/@me/channels"): (OWN, OWN),
    ("POST", "/guilds"): (OWN, OWN),
    ("GET", "/channels/{channel}"): (NO_GUILD, LOOK),
    ("PATCH", "/channels/{channel}"): (NO_GUILD, NO),
    ("DELETE", "/channels/{channel}"): (NO_GUILD, NO),
    ("PUT", "/channels/{channel}/permissions/{target}"): (NO_GUILD, NO),
    ("DELETE", "/channels/{channel}/permissions/{target}"): (NO_GUILD, NO | {(404, 10009)}),
    ("GET", "/guilds/{guild}"): (NO_GUILD, LOOK),
    ("PATCH", "/guilds/{guild}"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/channels"): (NO_GUILD, LOOK),
    ("POST", "/guilds/{guild}/channels"): (NO_GUILD, NO),
    ("PATCH", "/guilds/{guild}/channels"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/members"): (NO_GUILD, LOOK),
    ("GET", "/guilds/{guild}/members/search"): (NO_GUILD | {(400, 50035)}, LOOK | {(400, 50035)}),
    ("GET", "/guilds/{guild}/members/{user}"): (NO_GUILD, LOOK),
    ("GET", "/guilds/{guild}/messages/search"): (NO_GUILD, LOOK),
    ("PATCH", "/guilds/{guild}/members/@me"): (NO_GUILD, LOOK),
    ("PATCH", "/guilds/{guild}/members/{user}"): (NO_GUILD, NO),
    ("DELETE", "/guilds/{guild}/members/{user}"): (NO_GUILD, NO),
    ("PUT", "/guilds/{guild}/members/{user}/roles/{role}"): (NO_GUILD, NO),
    ("DELETE", "/guilds/{guild}/members/{user}/roles/{role}"): (NO_GUILD, NO),
    ("DELETE", "/guilds/{guild}"): (NO_GUILD, NO),
    # Who is in it would be out of it from here on: they try another one.
    ("DELETE", "/users/@me/guilds/{guild}"): (NO_GUILD, {(404, 10004)}),
    ("PATCH", "/guilds/{guild}/members/@me/nick"): (NO_GUILD, LOOK),
    ("PUT", "/guilds/{guild}/members/{user}"): (NO_GUILD, {(403, 50025)}),
    ("GET", "/guilds/{guild}/voice-states/@me"): (NO_GUILD, {(404, 10065)}),
    ("GET", "/guilds/{guild}/voice-states/{user}"): (NO_GUILD, {(404, 10065)}),
    ("GET", "/guilds/{guild}/audit-logs"): (NO_GUILD, NO),
    ("POST", "/guilds/{guild}/emojis"): (NO_GUILD, NO),
    **{
        (method, "/guilds/{guild}/emojis/{picture}"): (NO_GUILD, {(404, 10014)})
        for method in ("GET", "PATCH", "DELETE")
    },
    ("GET", "/guilds/{guild}/prune"): (NO_GUILD, NO),
    ("POST", "/guilds/{guild}/prune"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/bans"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/bans/{user}"): (NO_GUILD, NO),
    ("PUT", "/guilds/{guild}/bans/{user}"): (NO_GUILD, NO),
    ("DELETE", "/guilds/{guild}/bans/{user}"): (NO_GUILD, NO),
    ("POST", "/guilds/{guild}/bulk-ban"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/invites"): (NO_GUILD, NO),
    ("GET", "/channels/{channel}/invites"): (NO_GUILD, NO),
    ("POST", "/channels/{channel}/invites"): (NO_GUILD, LOOK),
    # Who has a code may use it.
    ("GET", "/invites/{code}"): ({(404, 10006)}, {(404, 10006)}),
    ("POST", "/invites/{code}"): ({(404, 10006)}, {(404, 10006)}),
    ("DELETE", "/invites/{code}"): ({(404, 10006)}, {(404, 10006)}),
    ("GET", "/channels/{channel}/messages"): (NO_GUILD, LOOK),
    ("POST", "/channels/{channel}/messages"): (NO_GUILD, LOOK),
    ("GET", "/channels/{channel}/messages/{message}"): (NO_GUILD, LOOK),
    ("PATCH", "/channels/{channel}/messages/{message}"): (NO_GUILD, {(403, 50005)}),
    ("DELETE", "/channels/{channel}/messages/{message}"): (NO_GUILD, NO),
    ("POST", "/channels/{channel}/messages/bulk-delete"): (NO_GUILD, NO),
    ("POST", "/channels/{channel}/typing"): (NO_GUILD, LOOK),
    **{("GET", f"/channels/{{channel}}/{path}pins"): (NO_GUILD, LOOK) for path in ("messages/", "")},
    **{
        (method, f"/channels/{{channel}}/{path}pins/{{message}}"): (NO_GUILD, NO)
        for path in ("messages/", "")
        for method in ("PUT", "DELETE")
    },
    ("DELETE", "/channels/{channel}/messages/{message}/reactions"): (NO_GUILD, NO),
    ("GET", "/channels/{channel}/messages/{message}/reactions/{emoji}"): (NO_GUILD, LOOK),
    ("DELETE", "/channels/{channel}/messages/{message}/reactions/{emoji}"): (NO_GUILD, NO),
    ("PUT", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me"): (NO_GUILD, LOOK),
    ("DELETE", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me"): (NO_GUILD, LOOK),
    ("DELETE", "/channels/{channel}/messages/{message}/reactions/{emoji}/{user}"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/roles"): (NO_GUILD, LOOK),
    ("POST", "/guilds/{guild}/roles"): (NO_GUILD, NO),
    ("PATCH", "/guilds/{guild}/roles"): (NO_GUILD, NO),
    ("GET", "/guilds/{guild}/roles/{role}"): (NO_GUILD, LOOK),
    ("PATCH", "/guilds/{guild}/roles/{role}"): (NO_GUILD, NO),
    ("DELETE", "/guilds/{guild}/roles/{role}"): (NO_GUILD, NO),
}
BODIES: dict[str, Any] = {
    "/channels/{channel}": {"topic": "x"},
    "/channels/{channel}/permissions/{target}": {"type": 0, "allow": "1024"},
    "/guilds/{guild}": {"name": "xx"},
    "/guilds/{guild}/channels": {"name": "x"},
    "/guilds/{guild}/emojis": {"name": "xx", "image": "data:image/gif;base64,R0lGODlhAQABAAAAACw="},
    "/guilds/{guild}/members/@me": {"nick": "x"},
    "/guilds/{guild}/members/@me/nick": {"nick": "x"},
    "/guilds/{guild}/bulk-ban": {"user_ids": ["1"]},
    "/guilds/{guild}/members/{user}": {"nick": "x"},
    "/channels/{channel}/messages": {"content": "x"},
    "/channels/{channel}/messages/{message}": {"content": "x"},
    "/channels/{channel}/messages/{message}/threads": {"name": "x"},
    "/channels/{channel}/threads": {"name": "x"},
    "/guilds/{guild}/roles": {"name": "x"},
    "/guilds/{guild}/roles/{role}": {"name": "x"},
    "/interactions/{interaction}/{token}/callback": {"type": 4, "data": {"content": "x"}},
    "/webhooks/{webhook}/{token}": {"content": "x"},
    "/webhooks/{webhook}/{token}/messages/@original": {"content": "x"},
    "/webhooks/{webhook}/{token}/messages/{message}": {"content": "x"},
    "/guilds": {"name": "x" * 200},
}


def test_every_route_is_in_the_table():
    assert {(route.method, route.path) for route in ROUTES} == TABLE.keys()


async def test_every_route_as_everybody_who_may_not(stack, nodes):
    world: World = await make_world(stack, people=4)
    owner, plain, kicked, other = world.people
    outsider = (await make_people(stack, 1))[0]
    async with nodes[0].rest(owner) as rest:
        role = await rest.request("POST", f"/guilds/{world.guild}/roles", {"name": "role"})
        message = await rest.send(world.channels[0], "hello")
        second = await rest.send(world.channels[0], "hello again")
        await rest.request("DELETE", f"/guilds/{world.guild}/members/{kicked.id}")
    ids = {
        "{guild}": world.guild, "{channel}": world.channels[0], "{message}": message["id"], "{role}": role["id"],
        "{target}": role["id"], "{user}": other.id, "{application}": owner.id, "{emoji}": "%F0%9F%91%8D",
        "{code}": "abcdef", "{picture}": 5,
        "{command}": 5, "{interaction}": 5, "{webhook}": owner.id, "{token}": "bm8.bm8",
    }  # fmt: skip
    wrong = []
    for node in nodes:
        for who, column in ((outsider, 0), (kicked, 0), (plain, 1)):
            async with node.rest(who) as rest:
                for (method, route), allowed in TABLE.items():
                    path = route
                    for name, ident in ids.items():
                        path = path.replace(name, str(ident))
                    body = BODIES.get(route) if method in {"POST", "PUT", "PATCH"} else None
                    if (method, route) == ("PUT", "/guilds/{guild}/members/{user}"):
                        body = {"access_token": "none"}
                    if route == "/users/@me/guilds/{guild}" and who is plain:
                        path = "/users/@me/guilds/1"
                    if route.endswith("bulk-delete"):
                        body = {"messages": [message["id"], second["id"]]}
                    if (method, route) == ("PATCH", "/guilds/{guild}/channels"):
                        body = [{"id": str(world.channels[0]), "position": secrets.randbelow(100)}]
                    if (method, route) == ("PATCH", "/guilds/{guild}/roles"):
                        body = [{"id": role["id"], "position": secrets.randbelow(100)}]
                    if route == "/interactions":
                        where = {"application_id": str(other.id), "channel_id": str(world.channels[0])}
                        body = where | {"type": 2, "data": {"name": "x"}}
                    found = await tries(rest, method, path, body)
                    if found not in allowed[column]:
                        wrong.append((who is plain, method, route, found))
    assert wrong == []
