"""discord.py."""

import asyncio
import io
import json
import os
import sys
from typing import Any

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route


def tell(**said: Any) -> None:
    """Say something to the test."""
    print(json.dumps(said), flush=True)


class Button(discord.ui.View):
    """One button."""

    @discord.ui.button(label="Press", custom_id="press")
    async def press(self, interaction: discord.Interaction, _: discord.ui.Button["Button"]) -> None:
        """Change the message."""
        await interaction.response.edit_message(content="pressed", view=None)


class Robot(discord.Client):
    """The client."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.all())
        self.tree = app_commands.CommandTree(self)
        self.tree.command(name="ping", description="Answers")(self.ping)
        self.work: set[asyncio.Task[None]] = set()

    async def ping(self, interaction: discord.Interaction, often: int) -> None:
        """Answer with a button."""
        await interaction.response.send_message("pong" * often, view=Button(timeout=None))

    async def on_ready(self) -> None:
        """Tell what is in the cache, and begin to do as told."""
        assert self.user is not None
        guilds = {
            str(guild.id): {
                "channels": sorted(str(one.id) for one in guild.channels),
                "members": sorted(str(one.id) for one in guild.members),
                "roles": sorted(str(one.id) for one in guild.roles),
            }
            for guild in self.guilds
        }
        tell(event="ready", user=str(self.user.id), guilds=guilds)
        if not self.work:
            task = asyncio.create_task(self.listen())
            self.work.add(task)

    async def listen(self) -> None:
        """Do what comes, each in a task of its own."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            self.work.add(asyncio.create_task(self.obey(json.loads(line))))

    async def obey(self, order: dict[str, Any]) -> None:
        """Do one thing."""
        try:
            said = await getattr(self, f"do_{order.pop('do')}")(**order)
        except discord.HTTPException as error:
            tell(event="done", code=error.code)
        else:
            tell(event="done", **(said or {}))

    def channel(self, channel: str) -> Any:
        """A channel out of the cache."""
        return self.get_channel(int(channel))

    def message(self, channel: str, message: str) -> discord.PartialMessage:
        """A message by its ids."""
        return self.channel(channel).get_partial_message(int(message))

    async def do_send(self, channel: str, content: str) -> dict[str, str]:
        return {"id": str((await self.channel(channel).send(content)).id)}

    async def do_edit(self, channel: str, message: str, content: str) -> None:
        await self.message(channel, message).edit(content=content)

    async def do_delete(self, channel: str, message: str) -> None:
        await self.message(channel, message).delete()

    async def do_react(self, channel: str, message: str, emoji: str) -> None:
        await self.message(channel, message).add_reaction(emoji)

    async def do_file(self, channel: str, name: str, text: str) -> dict[str, str]:
        sent = await self.channel(channel).send(file=discord.File(io.BytesIO(text.encode()), name))
        return {"id": str(sent.id), "url": sent.attachments[0].url}

    async def do_reply(self, channel: str, message: str, content: str) -> dict[str, str]:
        return {"id": str((await self.message(channel, message).reply(content)).id)}

    async def do_dm(self, user: str, content: str) -> dict[str, str]:
        sent = await (await self.fetch_user(int(user))).send(content)
        return {"id": str(sent.id), "channel": str(sent.channel.id)}

    async def do_thread(self, channel: str, message: str, name: str, content: str) -> dict[str, str]:
        thread = await self.message(channel, message).create_thread(name=name)
        return {"id": str(thread.id), "said": str((await thread.send(content)).id)}

    async def do_typing(self, channel: str) -> None:
        await self.channel(channel).typing()

    async def do_timeout(self, guild: str, user: str, seconds: int) -> None:
        member = self.get_guild(int(guild)).get_member(int(user))  # type: ignore[union-attr]
        await member.timeout(discord.utils.utcnow() + __import__("datetime").timedelta(seconds=seconds))  # type: ignore[union-attr]

    async def do_ban(self, guild: str, user: str) -> None:
        await self.get_guild(int(guild)).ban(discord.Object(int(user)), reason="a test")  # type: ignore[union-attr]

    async def do_webhook(self, channel: str, name: str, content: str) -> dict[str, str]:
        webhook = await self.channel(channel).create_webhook(name=name)
        sent = await webhook.send(content, wait=True)
        await webhook.delete()
        return {"id": str(sent.id)}

    async def do_emoji(self, guild: str, name: str) -> dict[str, str]:
        picture = b"\x89PNG\r\n\x1a\n and so on"
        made = await self.get_guild(int(guild)).create_custom_emoji(name=name, image=picture)  # type: ignore[union-attr]
        return {"id": str(made.id)}

    async def do_status(self, status: str, game: str) -> None:
        await self.change_presence(status=discord.Status(status), activity=discord.Game(game))

    async def do_connect(self, guild: str, channel: str) -> None:
        await self.get_guild(int(guild)).change_voice_state(channel=discord.Object(int(channel)))  # type: ignore[union-attr]

    async def do_burst(self, channel: str, count: int) -> dict[str, list[str]]:
        sent = await asyncio.gather(
            *(self.channel(channel).send(f"burst {number}") for number in range(count))
        )
        return {"ids": [str(one.id) for one in sent]}

    async def do_commands(self, guild: str) -> None:
        self.tree.copy_global_to(guild=discord.Object(int(guild)))
        await self.tree.sync(guild=discord.Object(int(guild)))

    async def on_message(self, message: discord.Message) -> None:
        tell(event="message", id=str(message.id), content=message.content, author=str(message.author.id))

    async def on_message_edit(self, _: discord.Message, after: discord.Message) -> None:
        tell(event="edited", id=str(after.id), content=after.content)

    async def on_raw_message_delete(self, gone: discord.RawMessageDeleteEvent) -> None:
        tell(event="deleted", id=str(gone.message_id))

    async def on_raw_reaction_add(self, reaction: discord.RawReactionActionEvent) -> None:
        tell(
            event="reaction",
            id=str(reaction.message_id),
            emoji=str(reaction.emoji),
            user=str(reaction.user_id),
        )

    async def on_raw_typing(self, typing: discord.RawTypingEvent) -> None:
        tell(event="typing", user=str(typing.user_id))

    async def on_member_join(self, member: discord.Member) -> None:
        tell(event="joined", user=str(member.id))

    async def on_raw_member_remove(self, gone: discord.RawMemberRemoveEvent) -> None:
        tell(event="left", user=str(gone.user.id))

    async def on_member_update(self, _: discord.Member, after: discord.Member) -> None:
        tell(
            event="roles",
            user=str(after.id),
            roles=[str(role.id) for role in after.roles if not role.is_default()],
        )

    async def on_presence_update(self, _: discord.Member, after: discord.Member) -> None:
        tell(event="status", user=str(after.id), status=str(after.status))

    async def on_voice_state_update(
        self, member: discord.Member, _: discord.VoiceState, after: discord.VoiceState
    ) -> None:
        tell(event="voice", user=str(member.id), channel=str(after.channel.id) if after.channel else None)

    async def on_resumed(self) -> None:
        tell(event="resumed")


Route.BASE = os.environ["FANFARE_API"]
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["FANFARE_GATEWAY"])
Robot().run(os.environ["FANFARE_TOKEN"], log_handler=None)
