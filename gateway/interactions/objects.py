"""The objects of an interaction as the application sees them. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from fanfare import payloads
from fanfare.model import Channel, Guild, Member, User
from fanfare.payloads import Json
from fanfare.permissions import in_channel
from gateway.ingress.access import Place
from gateway.interactions.arguments import Wanted
from gateway.interactions.state import Interaction

__all__ = ["COMMAND", "COMPLETE", "COMPONENT", "SUBMIT", "command_json", "create", "metadata", "resolved"]

COMMAND: Final = 2
COMPONENT: Final = 3
COMPLETE: Final = 4
SUBMIT: Final = 5
"""Types of interactions. (1 is a ping of a webhook.)"""

_LOCALE: Final = "en-US"
_FILE_BYTES: Final = 10 * 1024 * 1024


def command_json(body: Mapping[str, Any], ident: int, application: int, guild: int, version: int) -> Json:
    """A command as its application, and the clients that show it, see it."""
    found = {"id": str(ident), "application_id": str(application), "version": str(version), **body}
    return found | ({"guild_id": str(guild)} if guild else {})


def create(
    interaction: Interaction,
    place: Place,
    user: User,
    application: Place,
    data: Json,
    token: str,
    message: Mapping[str, Any] | None,
) -> Json:
    """The `d` of INTERACTION_CREATE.

    Args:
        interaction: what it is.
        place: the channel, as the user meets it.
        user: who does it.
        application: the channel, as the application meets it.
        data: what was done.
        token: to answer it with.
        message: on which it was done.

    """
    found: Json = {
        "id": str(interaction.id),
        "application_id": str(interaction.application),
        "type": interaction.type,
        "data": data,
        "channel_id": str(interaction.channel),
        "channel": payloads.channel(place.channel, to=interaction.application),
        "token": token,
        "version": 1,
        "locale": _LOCALE,
        "entitlements": [],
        "app_permissions": str(application.permissions),
        "attachment_size_limit": _FILE_BYTES,
    }
    if place.guild is not None and place.member is not None:
        guild = str(place.guild.id)
        found |= {
            "guild_id": guild,
            "guild_locale": _LOCALE,
            "guild": {"id": guild, "locale": _LOCALE, "features": []},
            "member": payloads.member(place.member) | {"permissions": str(place.permissions)},
            "context": 0,
            "authorizing_integration_owners": {"0": guild},
        }
    else:
        found |= {"user": payloads.user(user), "context": 1, "authorizing_integration_owners": {"0": "0"}}
    return found | ({"message": message} if message is not None else {})


def metadata(interaction: Interaction, user: User) -> Json:
    """What an answer says of what it answers."""
    found: Json = {
        "webhook_id": str(interaction.application),
        "application_id": str(interaction.application),
        "interaction_metadata": {
            "id": str(interaction.id),
            "type": interaction.type,
            "user": payloads.user(user),
            "authorizing_integration_owners": {"0": str(interaction.guild)},
        },
    }
    if interaction.type == COMMAND:
        found["interaction_metadata"]["name"] = interaction.name
        found["interaction"] = {
            "id": str(interaction.id),
            "type": interaction.type,
            "name": interaction.name,
            "user": payloads.user(user),
        }
    if interaction.type == COMPONENT:
        found["interaction_metadata"]["interacted_message_id"] = str(interaction.message)
    return found


def resolved(
    wanted: Wanted, guild: Guild | None, members: Mapping[int, Member], users: Mapping[int, User], seen: Place
) -> tuple[Json, set[int]]:
    """The things whose ids a user gave, and the ids that are of nothing that the user may name.

    Args:
        wanted: the ids.
        guild: where; None: in a direct conversation.
        members: those of the users that are members.
        users: those that exist.
        seen: the channel, as the user meets it.

    """
    found: Json = {}
    unknown: set[int] = set()
    roles = guild.roles if guild is not None else {}
    named_roles = wanted.roles | {ident for ident in wanted.either if ident in roles}
    for ident in wanted.users | (wanted.either - named_roles):
        if ident in members:
            member = members[ident]
            found.setdefault("users", {})[str(ident)] = payloads.user(member.user)
            held = in_channel(guild, member.roles, ident, seen.channel) if guild is not None else 0
            shown = payloads.member(member, with_user=False) | {"permissions": str(held)}
            found.setdefault("members", {})[str(ident)] = shown
        elif ident in users:
            found.setdefault("users", {})[str(ident)] = payloads.user(users[ident])
        else:
            unknown.add(ident)
    for ident in named_roles:
        if ident in roles:
            found.setdefault("roles", {})[str(ident)] = payloads.role(roles[ident])
        else:
            unknown.add(ident)
    for ident in wanted.channels:
        channel, held = _channel(ident, guild, seen)
        if channel is None:
            unknown.add(ident)
        else:
            found.setdefault("channels", {})[str(ident)] = payloads.channel(channel) | {
                "permissions": str(held)
            }
    return found, unknown


def _channel(ident: int, guild: Guild | None, seen: Place) -> tuple[Channel | None, int]:
    """A channel that the user may see."""
    channel = guild.channels.get(ident) if guild is not None else None
    if channel is None or guild is None or seen.member is None:
        return None, 0
    held = in_channel(guild, seen.member.roles, seen.member.user.id, channel)
    return (channel, held) if held else (None, 0)
