"""REQUEST_GUILD_MEMBERS: the members of a guild, to one session, in chunks."""

import asyncio
from typing import Any, Final

from fanfare import payloads
from fanfare.model import Member
from fanfare.store import Store
from gateway.frames import dispatch, encode, wrap
from gateway.guilds import GuildCache, UnknownGuildError
from gateway.hub import Hub, Session
from gateway.session import RequestMembers

__all__ = ["chunks", "send_members"]

_CHUNK: Final = 1000
_GUILD_MEMBERS: Final = 1 << 1
_SEARCH_LIMIT: Final = 100
_PAUSE_S: Final = 0.05


def chunks(asked: RequestMembers, members: list[Member], missing: list[int]) -> list[dict[str, Any]]:
    """The `d` of each GUILD_MEMBERS_CHUNK; there is always one, because clients wait for it."""
    parts = [members[at : at + _CHUNK] for at in range(0, len(members), _CHUNK)] or [[]]
    found = []
    for index, part in enumerate(parts):
        d: dict[str, Any] = {
            "guild_id": str(asked.guild_id),
            "members": [payloads.member(member) for member in part],
            "chunk_index": index,
            "chunk_count": len(parts),
            "not_found": [str(user) for user in missing],
        }
        if asked.presences:
            d["presences"] = []
        if asked.nonce is not None:
            d["nonce"] = asked.nonce
        found.append(d)
    return found


async def send_members(
    hub: Hub, guilds: GuildCache, store: Store, session: Session, asked: RequestMembers
) -> None:
    """Answer a request. A guild that the session is not in has no members to show."""
    members: list[Member] = []
    if asked.guild_id in session.guilds:
        members = await _find(guilds, store, session, asked)
    missing = sorted(set(asked.user_ids) - {member.user.id for member in members})
    for d in chunks(asked, members, missing):
        # The chunk carries the client's position, so all up to it must have been sent.
        while session.cursor is not None:
            await asyncio.sleep(_PAUSE_S)
        if session.link is None:
            return
        payload = dispatch(hub.s, "GUILD_MEMBERS_CHUNK", encode(d))
        session.link.send(wrap(payload, session.transport))


async def _find(guilds: GuildCache, store: Store, session: Session, asked: RequestMembers) -> list[Member]:
    if asked.user_ids:
        return list((await store.members(asked.guild_id, list(asked.user_ids))).values())
    if asked.query:
        return await store.search_members(asked.guild_id, asked.query, min(asked.limit or 1, _SEARCH_LIMIT))
    if not session.intents & _GUILD_MEMBERS:
        return []
    try:
        guild = await guilds.get(asked.guild_id)
    except UnknownGuildError:
        return []
    if len(guild.members) >= guild.member_count:
        found = sorted(guild.members.values(), key=lambda member: member.user.id)
        return found[: asked.limit] if asked.limit else found
    found, after = [], 0
    while not asked.limit or len(found) < asked.limit:
        page = await store.member_page(asked.guild_id, after, _CHUNK)
        found += page
        if len(page) < _CHUNK:
            break
        after = page[-1].user.id
    return found[: asked.limit] if asked.limit else found
