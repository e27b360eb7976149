"""The command `fanfare`."""

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final

import typer

from fanfare.cli import scale, up
from fanfare.embedded.errors import UpError
from fanfare.settings import SettingsError

__all__ = ["COMMANDS", "build", "main"]

# Packages beside this one bring commands of their own by entry points of this group (pyproject.toml): the name of an
# entry point is the command, its object the function or a Typer. So `fanfare` imports nothing that is built upon it.
COMMANDS: Final = "fanfare.commands"

# These have to be quick, and need none of the libraries behind the others.
QUICK: dict[str, Callable[..., None]] = {
    "up": up.up,
    "status": up.status,
    "scale": scale.scale,
    "restart": scale.restart,
    "down": up.down,
    "reset": up.reset,
}


def build(command: str = "") -> typer.Typer:
    """The command line; with only the quick commands in it if `command` is one of them."""
    app = typer.Typer(
        help="Discord-style notification fan-out over Kafka and Redis.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    for name, function in QUICK.items():
        app.command(name)(function)
    if command not in QUICK:
        _add_others(app)
    return app


def _add_others(app: typer.Typer) -> None:
    from fanfare.cli import archive, autoscale, capacity, check, dead_letters, kafka, people, top

    app.add_typer(kafka.topics_app, name="topics")
    app.add_typer(archive.archive_app, name="archive")
    app.add_typer(dead_letters.dead_letters_app, name="dead-letters")
    app.command("groups")(kafka.groups)
    app.command("top")(top.top)
    app.command("autoscale")(autoscale.autoscale)
    app.command("kafka", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        kafka.kafka
    )
    app.command("check")(check.check)
    app.command("claim")(check.claim)
    app.command("migrate")(check.migrate)
    app.command("rights")(check.rights)
    app.add_typer(people.user_app, name="user")
    app.command("token")(people.token)
    app.add_typer(people.guild_app, name="guild")
    app.add_typer(people.channel_app, name="channel")
    app.command("capacity")(capacity.capacity)
    for brought in entry_points(group=COMMANDS):
        command = brought.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=brought.name)
        else:
            app.command(brought.name)(command)


def main() -> None:
    """Entry point. What people can put right is told in one line."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else "")()
    except (UpError, SettingsError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
