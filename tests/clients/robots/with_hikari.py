"""hikari. Runs in an environment of its own, because it is bound to old versions of what it is made of."""

import asyncio
import datetime as dt
import json
import os
import sys
from typing import Any

import hikari

bot = hikari.GatewayBot(
    os.environ["FANFARE_TOKEN"],
    rest_url=os.environ["FANFARE_API"],
    intents=hikari.Intents.ALL,
    banner=None,
    logs=None,
)
work: set[asyncio.Task[None]] = set()


def tell(**said: Any) -> None:
    """Say something to the test."""
    print(json.dumps(said), flush=True)


@bot.listen()
async def on_started(_: hikari.StartedEvent) -> None:
    """Tell what is in the cache, and begin to do as told."""
    me = bot.get_me()
    assert me is not None
    while bot.cache.get_unavailable_guilds_view():
        await asyncio.sleep(0.01)
    guilds = {
        str(guild.id): {
            "channels": sorted(str(one) for one in guild.get_channels()),
            "members": sorted(str(one) for one in guild.get_members()),
            "roles": sorted(str(one) for one in guild.get_roles()),
        }
        for guild in bot.cache.get_guilds_view().values()
    }
    tell(event="ready", user=str(me.id), guilds=guilds)
    work.add(asyncio.create_task(listen()))


async def listen() -> None:
    """Do what comes, each in a task of its own."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        work.add(asyncio.create_task(obey(json.loads(line))))


async def obey(order: dict[str, Any]) -> None:
    """Do one thing."""
    try:
        said = await globals()[f"do_{order.pop('do')}"](**order)
    except hikari.ClientHTTPResponseError as error:
        tell(event="done", code=error.code)
    else:
        tell(event="done", **(said or {}))


async def do_send(channel: str, content: str) -> dict[str, str]:
    return {"id": str((await bot.rest.create_message(int(channel), content)).id)}


async def do_edit(channel: str, message: str, content: str) -> None:
    await bot.rest.edit_message(int(channel), int(message), content)


async def do_delete(channel: str, message: str) -> None:
    await bot.rest.delete_message(int(channel), int(message))


async def do_react(channel: str, message: str, emoji: str) -> None:
    await bot.rest.add_reaction(int(channel), int(message), emoji)


async def do_file(channel: str, name: str, text: str) -> dict[str, str]:
    sent = await bot.rest.create_message(int(channel), attachment=hikari.Bytes(text, name))
    return {"id": str(sent.id), "url": sent.attachments[0].url}


async def do_reply(channel: str, message: str, content: str) -> dict[str, str]:
    return {"id": str((await bot.rest.create_message(int(channel), content, reply=int(message))).id)}


async def do_dm(user: str, content: str) -> dict[str, str]:
    sent = await (await bot.rest.fetch_user(int(user))).send(content)
    return {"id": str(sent.id), "channel": str(sent.channel_id)}


async def do_thread(channel: str, message: str, name: str, content: str) -> dict[str, str]:
    thread = await bot.rest.create_message_thread(int(channel), int(message), name)
    return {"id": str(thread.id), "said": str((await thread.send(content)).id)}


async def do_typing(channel: str) -> None:
    await bot.rest.trigger_typing(int(channel))


async def do_timeout(guild: str, user: str, seconds: int) -> None:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    await bot.rest.edit_member(int(guild), int(user), communication_disabled_until=until)


async def do_ban(guild: str, user: str) -> None:
    await bot.rest.ban_user(int(guild), int(user), reason="a test")


async def do_webhook(channel: str, name: str, content: str) -> dict[str, str]:
    webhook = await bot.rest.create_webhook(int(channel), name)
    sent = await webhook.execute(content)
    await bot.rest.delete_webhook(webhook)
    return {"id": str(sent.id)}


async def do_emoji(guild: str, name: str) -> dict[str, str]:
    picture = hikari.Bytes(b"\x89PNG\r\n\x1a\n and so on", "wave.png")
    return {"id": str((await bot.rest.create_emoji(int(guild), name, picture)).id)}


async def do_status(status: str, game: str) -> None:
    await bot.update_presence(status=hikari.Status(status), activity=hikari.Activity(name=game))


async def do_connect(guild: str, channel: str) -> None:
    await bot.update_voice_state(int(guild), int(channel))


async def do_burst(channel: str, count: int) -> dict[str, list[str]]:
    sent = await asyncio.gather(
        *(bot.rest.create_message(int(channel), f"burst {number}") for number in range(count))
    )
    return {"ids": [str(one.id) for one in sent]}


async def do_commands(guild: str) -> None:
    me = bot.get_me()
    assert me is not None
    command = bot.rest.slash_command_builder("ping", "Answers")
    command.add_option(
        hikari.CommandOption(type=hikari.OptionType.INTEGER, name="often", description="n", is_required=True)
    )
    await bot.rest.set_application_commands(me.id, [command], guild=int(guild))


@bot.listen()
async def on_command(event: hikari.CommandInteractionCreateEvent) -> None:
    row = bot.rest.build_message_action_row()
    row.add_interactive_button(hikari.ButtonStyle.PRIMARY, "press", label="Press")
    assert event.interaction.options is not None
    often = event.interaction.options[0].value
    assert isinstance(often, int)
    await event.interaction.create_initial_response(
        hikari.ResponseType.MESSAGE_CREATE, "pong" * often, component=row
    )


@bot.listen()
async def on_component(event: hikari.ComponentInteractionCreateEvent) -> None:
    await event.interaction.create_initial_response(
        hikari.ResponseType.MESSAGE_UPDATE, "pressed", components=[]
    )


@bot.listen()
async def on_message(event: hikari.MessageCreateEvent) -> None:
    tell(event="message", id=str(event.message_id), content=event.content or "", author=str(event.author_id))


@bot.listen()
async def on_edit(event: hikari.MessageUpdateEvent) -> None:
    tell(event="edited", id=str(event.message_id), content=event.content)


@bot.listen()
async def on_delete(event: hikari.MessageDeleteEvent) -> None:
    tell(event="deleted", id=str(event.message_id))


@bot.listen()
async def on_reaction(event: hikari.ReactionAddEvent) -> None:
    tell(event="reaction", id=str(event.message_id), emoji=event.emoji_name, user=str(event.user_id))


@bot.listen()
async def on_typing(event: hikari.TypingEvent) -> None:
    tell(event="typing", user=str(event.user_id))


@bot.listen()
async def on_join(event: hikari.MemberCreateEvent) -> None:
    tell(event="joined", user=str(event.user_id))


@bot.listen()
async def on_leave(event: hikari.MemberDeleteEvent) -> None:
    tell(event="left", user=str(event.user_id))


@bot.listen()
async def on_member(event: hikari.MemberUpdateEvent) -> None:
    roles = [str(role) for role in event.member.role_ids if role != event.guild_id]
    tell(event="roles", user=str(event.user_id), roles=roles)


@bot.listen()
async def on_status(event: hikari.PresenceUpdateEvent) -> None:
    tell(event="status", user=str(event.user_id), status=str(event.presence.visible_status))


@bot.listen()
async def on_voice(event: hikari.VoiceStateUpdateEvent) -> None:
    where = event.state.channel_id
    tell(event="voice", user=str(event.state.user_id), channel=str(where) if where else None)


@bot.listen()
async def on_resumed(_: hikari.ShardResumedEvent) -> None:
    tell(event="resumed")


bot.run(check_for_updates=False)
