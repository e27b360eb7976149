"""A bot for discord.py: a command with options, buttons, a dialogue, a file, and reactions that vote.

    FANFARE_API=http://127.0.0.1:8080/api/v10 FANFARE_GATEWAY=ws://127.0.0.1:8081/gateway/ \
    FANFARE_TOKEN=... python examples/bot.py

`make run` prints the two addresses and the token of a bot.
"""

import io
import os

import discord
import yarl
from discord import app_commands

UP, DOWN = "\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"


class Feedback(discord.ui.Modal, title="What do you think?"):
    """A dialogue with one field."""

    words: discord.ui.TextInput["Feedback"] = discord.ui.TextInput(label="In a few words", max_length=200)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        """Thank the user; nobody else sees it."""
        await interaction.response.send_message(f"Thank you for “{self.words.value}”.", ephemeral=True)


class Buttons(discord.ui.View):
    """A counter, and a button that opens the dialogue."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.count = 0

    @discord.ui.button(label="Count", style=discord.ButtonStyle.primary, custom_id="count")
    async def add(self, interaction: discord.Interaction, _: discord.ui.Button["Buttons"]) -> None:
        """Change the message under the button."""
        self.count += 1
        await interaction.response.edit_message(content=f"Pressed {self.count} times.")

    @discord.ui.button(label="Say something", custom_id="say")
    async def say(self, interaction: discord.Interaction, _: discord.ui.Button["Buttons"]) -> None:
        """Open the dialogue."""
        await interaction.response.send_modal(Feedback())


class Bot(discord.Client):
    """The bot."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default())
        self.tree = app_commands.CommandTree(self)
        self.tree.command(description="Says hello")(hello)
        self.tree.command(description="A message with buttons")(buttons)
        self.tree.command(description="Asks for votes by reactions")(vote)
        self.tree.command(description="Words in a file")(note)

    async def setup_hook(self) -> None:
        """Register the commands, and know the buttons of messages that were sent before."""
        self.add_view(Buttons())
        await self.tree.sync()

    async def on_ready(self) -> None:
        """Say that it has begun."""
        print(f"{self.user} is ready", flush=True)

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        """Tell the votes as soon as there is one."""
        if self.user is None or event.user_id == self.user.id or event.message_author_id != self.user.id:
            return
        channel = self.get_channel(event.channel_id)
        if not isinstance(channel, discord.TextChannel):
            return
        message = await channel.fetch_message(event.message_id)
        votes = {str(one.emoji): one.count - one.me for one in message.reactions}
        await message.reply(f"{votes.get(UP, 0)} for it, {votes.get(DOWN, 0)} against.", mention_author=False)


@app_commands.describe(whom="who is greeted", often="how often")
async def hello(
    interaction: discord.Interaction, whom: discord.Member, often: app_commands.Range[int, 1, 3] = 1
) -> None:
    """Answer later, as a bot does that has to work for its answer."""
    await interaction.response.defer(thinking=True)
    await interaction.followup.send(" ".join([f"Hello {whom.mention}!"] * often))


async def buttons(interaction: discord.Interaction) -> None:
    """Answer with buttons."""
    await interaction.response.send_message("Pressed 0 times.", view=Buttons())


async def vote(interaction: discord.Interaction, question: str) -> None:
    """Ask, and put the two reactions there to be pressed."""
    await interaction.response.send_message(question)
    message = await interaction.original_response()
    await message.add_reaction(UP)
    await message.add_reaction(DOWN)


async def note(interaction: discord.Interaction, words: str) -> None:
    """Answer with a file."""
    await interaction.response.send_message(file=discord.File(io.BytesIO(words.encode()), "note.txt"))


if __name__ == "__main__":
    discord.http.Route.BASE = os.environ["FANFARE_API"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["FANFARE_GATEWAY"])
    Bot().run(os.environ["FANFARE_TOKEN"])
