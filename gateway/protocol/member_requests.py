"""What REQUEST_GUILD_MEMBERS (op 8) asks for, and what is answered. Pure.

Clients wait for an answer to each request, so every one that names a guild gets one, however odd the rest of it is:
what cannot be an id is answered as not found, and what is null, or of a type that means nothing, counts as absent.
Source: Discord's gateway documentation, "Request Guild Members"; the forms that libraries send are in docs/clients.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fanfare import payloads
from fanfare.ids import MAX_ID
from fanfare.model import Member

__all__ = ["RequestMembers", "chunks", "rate_limited", "read"]

_CHUNK: Final = 1000
_NONCE_BYTES: Final = 32
# Discord's ids have at most 20 digits; what is longer is no id and is cut in the answer.
_ID_CHARACTERS: Final = 20
_QUERY_CHARACTERS: Final = 100
_MAX_LIMIT: Final = 1_000_000
_OP: Final = 8


@dataclass(frozen=True, slots=True)
class RequestMembers:
    """Send members of a guild in chunks."""

    guild: str
    """As the client named it: the answer says the same."""
    query: str | None = None
    users: tuple[str, ...] | None = None
    """As the client named them; None: it did not ask for users by id."""
    limit: int = 0
    """0: as many as there are."""
    nonce: str | None = None
    presences: bool = False

    @property
    def guild_id(self) -> int:
        """The guild, 0 if what the client named cannot be one."""
        return as_id(self.guild)

    @property
    def user_ids(self) -> list[int]:
        """The users among `users` that can exist."""
        return [ident for user in self.users or () if (ident := as_id(user))]


def as_id(text: str) -> int:
    """The id that a text shows; 0 if it shows none of 63 bits."""
    if not (text.isascii() and text.isdigit()) or len(text) > _ID_CHARACTERS:
        return 0
    ident = int(text)
    return ident if ident <= MAX_ID else 0


def read(d: bytes) -> RequestMembers | None:
    """The request in the `d` of op 8; None if it names no guild.

    Raises:
        msgspec.DecodeError: it is not JSON.

    """
    asked = msgspec.json.decode(d)
    if not isinstance(asked, dict):
        return None
    guild = asked.get("guild_id")
    if isinstance(guild, list) and len(guild) == 1:
        guild = guild[0]  # so does eris
    named = _id_text(guild)
    if named is None:
        return None
    limit, nonce, query = asked.get("limit"), asked.get("nonce"), asked.get("query")
    presences = asked.get("presences")
    return RequestMembers(
        guild=named,
        query=query[:_QUERY_CHARACTERS] if isinstance(query, str) else None,
        users=_users(asked.get("user_ids")),
        limit=min(max(limit, 0), _MAX_LIMIT) if isinstance(limit, int) else 0,
        nonce=nonce if isinstance(nonce, str) and len(nonce.encode()) <= _NONCE_BYTES else None,
        presences=isinstance(presences, int) and presences != 0,  # eris sends 256
    )


def chunks(
    asked: RequestMembers, members: Sequence[Member], statuses: Sequence[tuple[int, bytes]]
) -> list[dict[str, Any]]:
    """The `d` of each GUILD_MEMBERS_CHUNK; there is always one, because clients wait for it.

    Args:
        asked: the request.
        members: those that are found.
        statuses: of those who are not offline, the JSON of their statuses.

    """
    known = dict(statuses)
    found = {str(member.user.id) for member in members}
    # Ids of the client's own writing: "007" is asked for, and 7 is found.
    missing = [user for user in dict.fromkeys(asked.users or ()) if str(as_id(user)) not in found]
    parts = [members[at : at + _CHUNK] for at in range(0, len(members), _CHUNK)] or [[]]
    return [
        {
            "guild_id": asked.guild,
            "members": [payloads.member(member) for member in part],
            "chunk_index": index,
            "chunk_count": len(parts),
            "not_found": missing,
        }
        | (
            {"presences": [msgspec.Raw(known[m.user.id]) for m in part if m.user.id in known]}
            if asked.presences
            else {}
        )
        | ({"nonce": asked.nonce} if asked.nonce is not None else {})
        for index, part in enumerate(parts)
    ]


def rate_limited(asked: RequestMembers, retry_after_s: float) -> dict[str, Any]:
    """The `d` of RATE_LIMITED: the request was not carried out, and may be sent again."""
    meta = {"guild_id": asked.guild} | ({"nonce": asked.nonce} if asked.nonce is not None else {})
    return {"opcode": _OP, "retry_after": retry_after_s, "meta": meta}


def _users(value: Any) -> tuple[str, ...] | None:
    if value is None or value in ("", []):
        return None
    named = (_id_text(one) for one in (value if isinstance(value, list) else [value]))
    return tuple(one for one in named if one is not None)


def _id_text(value: Any) -> str | None:
    """What names something: a text or a whole number. None: anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[: _ID_CHARACTERS + 1] if isinstance(value, str) else str(value % (1 << 64))
