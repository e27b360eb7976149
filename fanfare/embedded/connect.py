"""What `fanfare up` prints when all is ready."""

from pathlib import Path
from typing import Any

__all__ = ["how_to_connect"]

BOT = """\
    import discord, yarl
    from discord.ext import commands
    discord.http.Route.BASE = "{api}"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL("{gateway}")
    bot = commands.Bot("!", intents=discord.Intents.all())
    @bot.command()
    async def ping(ctx): await ctx.send("pong")
    bot.run("{token}")"""


def how_to_connect(run: dict[str, Any], run_file: Path) -> str:
    """Addresses, the demo's people and a bot, as text for the terminal; `run` is what run.json holds."""
    if not run["guild_id"]:
        return f"The stores are ready; their addresses are in {run_file}. Stop them with `fanfare down`."
    people = "\n".join(f"  {name:<9} {user['token']}" for name, user in run["users"].items())
    bot = BOT.format(api=run["api"], gateway=run["gateway"], token=run["bot"]["token"])
    return f"""
Fanfare is ready. Open {run["web"]} in a browser to chat, and {run["web"]}/live to watch.

  REST      {run["api"]}
  gateway   {run["gateway"]}
  Kafka     {run["kafka"]}
  all of it {run_file} (Redis and PostgreSQL too), and `fanfare status`

Demo guild {run["guild_id"]}, channel {run["channel_id"]}; tokens of its people:
{people}
  bot       {run["bot"]["token"]}

A bot with discord.py; write !ping in the channel and it answers:

{bot}

Stop with Ctrl-C or `fanfare down`.
"""
