"""Whom a message mentions: what its content says, what its author allows, what its author may do. Pure."""

import re
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from fanfare.ids import MAX_ID

__all__ = ["ALLOW_ALL", "Allowed", "Mentioned", "Written", "find", "resolve"]

# Not \d: digits of other scripts are digits, too, and no client means an id by them.
_USER: Final = re.compile(r"<@!?([0-9]{15,19})>")
_ROLE: Final = re.compile(r"<@&([0-9]{15,19})>")
_EVERYONE: Final = re.compile(r"@(everyone|here)\b")


class Written(NamedTuple):
    """What stands in a content, whether it is allowed or not. Ids in their order, each once."""

    users: tuple[int, ...]
    roles: tuple[int, ...]
    everyone: bool
    here: bool


class Allowed(NamedTuple):
    """`allowed_mentions` of a message: of what is written, what may have an effect."""

    users: frozenset[int] | None
    """The users who may be mentioned; None: all."""
    roles: frozenset[int] | None
    """The roles that may be mentioned; None: all."""
    everyone: bool
    replied_user: bool
    """A reply mentions the author it replies to."""


class Mentioned(NamedTuple):
    """What a message mentions in effect."""

    users: tuple[int, ...]
    roles: tuple[int, ...]
    everyone: bool
    """It says @everyone or @here, and may."""
    here: bool
    """It says @here, and not @everyone, and may."""


# Without `allowed_mentions` all mentions in the content count, and a reply mentions the author it replies to.
ALLOW_ALL: Final = Allowed(None, None, everyone=True, replied_user=True)


def find(content: str) -> Written:
    """The mentions written in a content."""
    if "@" not in content:
        return Written((), (), everyone=False, here=False)
    said = set(_EVERYONE.findall(content))
    return Written(
        _ids(_USER, content),
        _ids(_ROLE, content),
        everyone="everyone" in said,
        here="here" in said,
    )


def _ids(pattern: re.Pattern[str], content: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(ident for text in pattern.findall(content) if (ident := int(text)) <= MAX_ID))


def resolve(
    written: Written,
    allowed: Allowed,
    *,
    mentionable_roles: AbstractSet[int],
    may_mention_everyone: bool,
    replied_to: int = 0,
) -> Mentioned:
    """What a message mentions in effect.

    Args:
        written: what its content says.
        allowed: its `allowed_mentions`.
        mentionable_roles: the guild's roles that anybody may mention, or all of them for an author with
            MENTION_EVERYONE; the ids of others are left out.
        may_mention_everyone: the author has MENTION_EVERYONE.
        replied_to: the author of the message it replies to; 0: none.

    """
    users = [u for u in written.users if allowed.users is None or u in allowed.users]
    if replied_to and allowed.replied_user and replied_to not in users:
        users.append(replied_to)
    roles = [
        r for r in written.roles if r in mentionable_roles and (allowed.roles is None or r in allowed.roles)
    ]
    loud = allowed.everyone and may_mention_everyone
    return Mentioned(
        tuple(users),
        tuple(roles),
        everyone=loud and (written.everyone or written.here),
        here=loud and written.here and not written.everyone,
    )
