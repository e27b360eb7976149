"""The command `fanfare`."""

import sys

import typer

from fanfare.cli import up
from fanfare.embedded.errors import UpError
from fanfare.settings import SettingsError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Discord-style notification fan-out over Kafka and Redis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("up")(up.up)
app.command("status")(up.status)
app.command("down")(up.down)
app.command("reset")(up.reset)

try:
    from fanfare.cli import people

    app.add_typer(people.user_app, name="user")
    app.command("token")(people.token)
    app.add_typer(people.guild_app, name="guild")
    app.add_typer(people.channel_app, name="channel")
except ImportError:
    pass
try:
    from fanfare.cli import kafka

    app.add_typer(kafka.topics_app, name="topics")
    app.command("groups")(kafka.groups)
    app.command("kafka", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(kafka.kafka)
except ImportError:
    pass


def main() -> None:
    """Entry point. What people can put right is told in one line."""
    try:
        app()
    except (UpError, SettingsError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
