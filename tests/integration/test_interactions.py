"""Interactions on real nodes: a user does something, the application answers, and only those concerned hear of it."""

import json
from io import BytesIO

import aiohttp
import pytest

from tests.stack import Stack
from tests.world import Person, World, make_world_with_bot
from torture.client import Client, Event, Rest, RestError

pytestmark = pytest.mark.system

ROW = [
    {
        "type": 1,
        "components": [
            {"type": 2, "style": 1, "label": "press", "custom_id": "press"},
            {"type": 2, "style": 1, "label": "not this", "custom_id": "off", "disabled": True},
        ],
    },
    {
        "type": 1,
        "components": [
            {"type": 3, "custom_id": "choose", "options": [{"label": x, "value": x} for x in "abc"]}
        ],
    },
]
COMMANDS = [
    {
        "name": "greet",
        "description": "says hello",
        "options": [
            {"type": 6, "name": "whom", "description": "who", "required": True},
            {"type": 3, "name": "how", "description": "how", "autocomplete": True},
        ],
    },
    {"name": "secret", "description": "for administrators", "default_member_permissions": "0"},
]


@pytest.fixture
async def world(stack: Stack) -> World:
    """A guild with its owner, a bot, and another person."""
    return await make_world_with_bot(stack, people=2)


class User:
    """What a client does for its user."""

    def __init__(self, rest: Rest, bot: Person, channel: int) -> None:
        self._rest = rest
        self._where = {"application_id": str(bot.id), "channel_id": str(channel)}

    async def does(self, kind: int, data: object, **more: object) -> str:
        body = self._where | {"type": kind, "data": data, "nonce": "n"} | more
        answer = await self._rest.request("POST", "/interactions", body)
        assert answer["nonce"] == "n"
        return answer["id"]


async def answer(rest: Rest, event: Event, kind: int, data: object = None) -> object:
    path = f"/interactions/{event.d['id']}/{event.d['token']}/callback"
    return await rest.request("POST", path, {"type": kind, "data": data}, query={"with_response": "true"})


async def refused(doing: object) -> tuple[int, int]:
    with pytest.raises(RestError) as caught:
        await doing
    return caught.value.status, caught.value.code


async def begun(client: Client, ident: str) -> Event:
    return await client.until("INTERACTION_CREATE", id=ident)


async def test_a_command_from_registration_to_further_messages(nodes, world, online):
    owner, robot, other = world.people
    channel, messages = world.channels[0], f"/channels/{world.channels[0]}/messages"
    bot, person = await online(nodes[1], robot), await online(nodes[0], other)
    async with nodes[0].rest(robot) as app, nodes[1].rest(other) as rest, nodes[0].rest(owner) as boss:
        commands = f"/applications/{robot.id}/commands"
        made = await app.request("PUT", commands, COMMANDS)
        assert [one["name"] for one in made] == ["greet", "secret"]
        again = await app.request("PUT", commands, COMMANDS)
        assert again == made, "the same commands keep their ids and versions"
        changed = await app.request("PATCH", f"{commands}/{made[0]['id']}", {"description": "hello"})
        assert (changed["id"], changed["description"]) == (made[0]["id"], "hello")
        assert changed["version"] != made[0]["version"]
        assert await refused(rest.request("GET", commands)) == (403, 50001)
        index = await rest.request("GET", f"/guilds/{world.guild}/application-command-index")
        assert {one["name"] for one in index["application_commands"]} >= {"greet", "secret"}

        user = User(rest, robot, channel)
        whom = [{"name": "whom", "value": str(owner.id)}]
        for wrong in (
            {"name": "greet"},
            {"name": "greet", "options": [{"name": "whom", "value": "5"}]},
            {"name": "greet", "options": [*whom, {"name": "what", "value": "x"}]},
        ):
            assert await refused(user.does(2, wrong)) == (400, 50035)
        assert await refused(user.does(2, {"name": "nothing"})) == (404, 10063)
        assert await refused(user.does(2, {"name": "secret"})) == (403, 50013)
        assert await User(boss, robot, channel).does(2, {"name": "secret"})

        ident = await user.does(
            4, {"name": "greet", "options": [{"name": "how", "value": "w", "focused": True}]}
        )
        asked = await begun(bot, ident)
        assert asked.d["data"]["options"] == [{"name": "how", "type": 3, "value": "w", "focused": True}]
        await answer(app, asked, 8, {"choices": [{"name": "warmly", "value": "warmly"}]})
        told = await person.until("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", id=ident)
        assert told.d["choices"] == [{"name": "warmly", "value": "warmly"}]

        ident = await user.does(2, {"id": made[0]["id"], "options": whom})
        called = await begun(bot, ident)
        assert called.d["data"]["resolved"]["users"][str(owner.id)]["username"] == owner.name
        assert called.d["member"]["user"]["id"] == str(other.id)
        said = await answer(app, called, 4, {"content": "hello"})
        assert await refused(answer(app, called, 4, {"content": "hello"})) == (400, 40060)
        seen = await person.until("MESSAGE_CREATE", content="hello")
        assert seen.d["id"] == said["resource"]["message"]["id"]
        assert seen.d["interaction_metadata"]["id"] == ident
        hook = f"/webhooks/{robot.id}/{called.d['token']}"
        await app.request("PATCH", f"{hook}/messages/@original", {"content": "hello again"})
        more = await app.request("POST", hook, {"content": "and more"})
        await app.request("PATCH", f"{hook}/messages/{more['id']}", {"content": "and more of it"})
        page = await rest.messages(channel, limit=2)
        assert [one["content"] for one in page] == ["and more of it", "hello again"]
        await app.request("DELETE", f"{hook}/messages/@original")
        assert await refused(rest.request("GET", f"{messages}/{seen.d['id']}")) == (404, 10008)
        assert await refused(app.request("GET", f"{hook}/messages/{called.d['id']}")) == (404, 10008)
        forged = called.d["token"][:-2] + ("AA" if not called.d["token"].endswith("AA") else "BB")
        assert await refused(app.request("POST", f"/webhooks/{robot.id}/{forged}", {"content": "x"})) == (
            404,
            10015,
        )


async def test_who_may_use_a_command_is_what_the_guild_says(nodes, world, online):
    owner, robot, other = world.people
    channel = world.channels[0]
    await online(nodes[1], robot)
    async with nodes[0].rest(robot) as app, nodes[1].rest(other) as rest, nodes[0].rest(owner) as boss:
        commands = f"/applications/{robot.id}/commands"
        greet, secret = await app.request(
            "PUT", commands, [{"name": "hello", "description": "says hello"}, COMMANDS[1]]
        )
        path = f"/applications/{robot.id}/guilds/{world.guild}/commands"
        user = User(rest, robot, channel)

        async def say(target: str, *permissions: tuple[int, int, bool]) -> None:
            body = [{"id": str(i), "type": kind, "permission": may} for kind, i, may in permissions]
            said = await boss.request("PUT", f"{path}/{target}/permissions", {"permissions": body})
            assert (said["id"], said["permissions"]) == (target, body)

        assert await app.request("GET", path + "/permissions") == []
        assert await refused(app.request("GET", f"{path}/{greet['id']}/permissions")) == (404, 10066)
        for who, code in ((rest, 50013), (app, 20001)):
            body = {"permissions": []}
            said = refused(who.request("PUT", f"{path}/{greet['id']}/permissions", body))
            assert await said == (403, code)

        await say(greet["id"], (1, world.guild, False))
        assert await refused(user.does(2, {"name": "hello"})) == (403, 50013)
        assert await User(boss, robot, channel).does(2, {"name": "hello"})  # the owner may
        await say(greet["id"], (1, world.guild, False), (2, other.id, True))
        assert await user.does(2, {"name": "hello"})
        await say(greet["id"], (2, other.id, True), (3, channel, False))
        assert await refused(user.does(2, {"name": "hello"})) == (403, 50013)
        # What is for administrators is for whom the guild names, too; the application alone gives nothing.
        await say(str(robot.id), (2, other.id, True))
        assert await refused(user.does(2, {"name": "secret"})) == (403, 50013)
        await say(secret["id"], (2, other.id, True))
        assert await user.does(2, {"name": "secret"})

        found = await app.request("GET", path + "/permissions")
        assert {one["id"] for one in found} == {greet["id"], secret["id"], str(robot.id)}
        log = await boss.request("GET", f"/guilds/{world.guild}/audit-logs?action_type=121")
        assert log["audit_log_entries"][0]["target_id"] == secret["id"]
        assert log["audit_log_entries"][0]["changes"] == [
            {"key": str(other.id), "new_value": {"id": str(other.id), "type": 2, "permission": True}}
        ]
        await app.request("DELETE", f"{commands}/{secret['id']}")
        found = await app.request("GET", path + "/permissions")
        assert {one["id"] for one in found} == {greet["id"], str(robot.id)}


async def test_only_the_user_gets_what_is_for_the_user_alone(nodes, world, online):
    owner, robot, other = world.people
    channel = world.channels[0]
    bot, person = await online(nodes[1], robot), await online(nodes[0], other)
    watching, elsewhere = await online(nodes[0], owner), await online(nodes[1], other)
    async with nodes[0].rest(robot) as app, nodes[1].rest(other) as rest, nodes[0].rest(owner) as boss:
        await app.request(
            "POST",
            f"/applications/{robot.id}/guilds/{world.guild}/commands",
            {"name": "psst", "description": "x"},
        )
        user = User(rest, robot, channel)
        called = await begun(bot, await user.does(2, {"name": "psst"}))
        await answer(app, called, 5, {"flags": 64})
        hook = f"/webhooks/{robot.id}/{called.d['token']}"
        filled = await app.request("POST", hook, {"content": "only you", "components": ROW})
        assert filled["flags"] == 64, "the first further message is the answer that was to come later"
        for client in (person, elsewhere):
            secret = await client.until("MESSAGE_CREATE")
            assert (secret.d["flags"], secret.d["id"]) == (64 | 128, filled["id"])
            assert (await client.until("MESSAGE_UPDATE", content="only you")).d["id"] == filled["id"]
        stranger = User(boss, robot, channel)
        press = {"custom_id": "press"}
        assert await refused(stranger.does(3, press, message_id=filled["id"])) == (404, 10008)
        pressed = await begun(bot, await user.does(3, press, message_id=filled["id"]))
        assert pressed.d["message"]["content"] == "only you"
        await answer(app, pressed, 7, {"content": "pressed", "components": []})
        await person.until("MESSAGE_UPDATE", content="pressed")
        assert await rest.messages(channel, limit=5) == []
        assert await refused(boss.request("GET", f"/channels/{channel}/messages/{filled['id']}")) == (
            404,
            10008,
        )
        await app.request("DELETE", f"{hook}/messages/@original")
        assert (await person.until("MESSAGE_DELETE")).d["id"] == filled["id"]
        end = await boss.send(channel, "end")
    assert (await watching.next()).d["id"] == end["id"], "the owner heard of nothing before"


async def test_buttons_menus_and_dialogues(nodes, world, online):
    _, robot, other = world.people
    channel = world.channels[0]
    bot, person = await online(nodes[0], robot), await online(nodes[1], other)
    async with nodes[1].rest(robot) as app, nodes[0].rest(other) as rest:
        message = (await app.send(channel, "choose", components=ROW))["id"]
        user = User(rest, robot, channel)
        for wrong in (
            {"custom_id": "off"},
            {"custom_id": "nothing"},
            {"custom_id": "choose", "values": ["d"]},
            {"custom_id": "choose", "values": []},
        ):
            assert await refused(user.does(3, wrong, message_id=message)) == (400, 50035), wrong
        chosen = await begun(
            bot, await user.does(3, {"custom_id": "choose", "values": ["b"]}, message_id=message)
        )
        assert chosen.d["data"]["values"] == ["b"]
        assert chosen.d["message"]["id"] == message
        await answer(app, chosen, 6)
        await person.until("INTERACTION_SUCCESS", id=chosen.d["id"])
        hook = f"/webhooks/{robot.id}/{chosen.d['token']}"
        await app.request("PATCH", f"{hook}/messages/@original", {"content": "b it is"})
        assert (await person.until("MESSAGE_UPDATE", content="b it is")).d["id"] == message

        pressed = await begun(bot, await user.does(3, {"custom_id": "press"}, message_id=message))
        text = {"type": 4, "custom_id": "name", "style": 1, "label": "your name", "min_length": 2}
        dialogue = {"custom_id": "who", "title": "Who?", "components": [{"type": 1, "components": [text]}]}
        await answer(app, pressed, 9, dialogue)
        opened = await person.until("INTERACTION_MODAL_CREATE")
        assert opened.d["title"] == "Who?"

        def given(value: str) -> object:
            return {"id": opened.d["id"], "components": [{"custom_id": "name", "value": value}]}

        assert await refused(user.does(5, given("x"))) == (400, 50035)
        sent = await begun(bot, await user.does(5, given("Bob")))
        assert sent.d["data"]["components"] == [
            {"type": 1, "id": 0, "components": [{"type": 4, "id": 0, "custom_id": "name", "value": "Bob"}]}
        ]
        await answer(app, sent, 7, {"content": "hello Bob"})
        await person.until("MESSAGE_UPDATE", content="hello Bob")


async def test_an_interaction_that_came_while_the_bot_was_away(nodes, world, online):
    _, robot, other = world.people
    bot = await online(nodes[0], robot)
    async with nodes[1].rest(robot) as app, nodes[0].rest(other) as rest:
        await app.request(
            "PUT", f"/applications/{robot.id}/commands", [*COMMANDS[1:], {"name": "x", "type": 2}]
        )
        await bot.cut()
        ident = await User(rest, robot, world.channels[0]).does(
            2, {"name": "x", "type": 2, "target_id": str(robot.id)}
        )
        async with await Client.connect(nodes[1].gateway, bot.session) as again:
            missed = await again.resume()
    assert [(event.t, event.d["id"]) for event in missed] == [("INTERACTION_CREATE", ident)]
    assert missed[0].d["data"]["target_id"] == str(robot.id)


async def _with_file(http, method: str, url: str, said: dict, content: bytes) -> tuple[int, dict]:
    with aiohttp.MultipartWriter("form-data") as form:
        part = form.append(BytesIO(content))
        part.set_content_disposition("form-data", name="files[0]", filename="card.png")
        form.append(json.dumps(said)).set_content_disposition("form-data", name="payload_json")
    async with http.request(method, url, data=form) as done:
        return done.status, await done.json()


async def test_answers_may_have_files(nodes, world, online):
    """As ranks and cards are shown by many bots: in the first answer, later, for one user alone, and by an edit."""
    _, robot, other = world.people
    channel = world.channels[0]
    bot, person = await online(nodes[1], robot), await online(nodes[0], other)
    async with (
        nodes[0].rest(robot) as app,
        nodes[1].rest(other) as rest,
        aiohttp.ClientSession() as http,
    ):
        await app.request(
            "PUT", f"/applications/{robot.id}/commands", [{"name": "rank", "description": "shows it"}]
        )
        user = User(rest, robot, channel)

        async def fetched(message: dict, *contents: bytes) -> None:
            assert len(message["attachments"]) == len(contents)
            for file, content in zip(message["attachments"], contents, strict=True):
                async with http.get(file["url"]) as answer:
                    assert await answer.read() == content

        asked = (await begun(bot, await user.does(2, {"name": "rank"}))).d
        first = f"{nodes[0].api}/interactions/{asked['id']}/{asked['token']}/callback"
        data = {"content": "your rank", "attachments": [{"id": 0, "description": "a card"}]}
        wrong = await _with_file(http, "POST", first, {"type": 5, "data": {}}, b"0")
        assert (wrong[0], list(wrong[1]["errors"]["data"])) == (400, ["files"])
        stranger = await _with_file(
            http, "POST", f"{nodes[0].api}/interactions/1/x/callback", {"type": 4}, b"0"
        )
        assert (stranger[0], stranger[1]["code"]) == (404, 10062)
        status, said = await _with_file(
            http, "POST", first + "?with_response=1", {"type": 4, "data": data}, b"1"
        )
        assert status == 200, said
        seen = (await person.until("MESSAGE_CREATE", content="your rank")).d
        assert seen["attachments"][0]["description"] == "a card"
        await fetched(seen, b"1")

        by_token = f"{nodes[1].api}/webhooks/{robot.id}/{asked['token']}"
        status, more = await _with_file(http, "POST", by_token, {"content": "more"}, b"2")
        assert status == 200, more
        await fetched((await person.until("MESSAGE_CREATE", content="more")).d, b"2")
        status, alone = await _with_file(http, "POST", by_token, {"content": "to you", "flags": 64}, b"3")
        assert (status, alone["flags"]) == (200, 64)
        await fetched((await person.until("MESSAGE_CREATE", content="to you")).d, b"3")
        original = f"{by_token}/messages/@original"
        status, changed = await _with_file(http, "PATCH", original, {"content": "both"}, b"4")
        assert status == 200, changed
        await fetched((await person.until("MESSAGE_UPDATE", content="both")).d, b"1", b"4")

        later = (await begun(bot, await user.does(2, {"name": "rank"}))).d
        await app.request("POST", f"/interactions/{later['id']}/{later['token']}/callback", {"type": 5})
        by_token = f"{nodes[0].api}/webhooks/{robot.id}/{later['token']}"
        status, done = await _with_file(http, "POST", by_token, {"content": "at last"}, b"5")
        assert status == 200, done
        await fetched((await person.until("MESSAGE_UPDATE", content="at last")).d, b"5")
