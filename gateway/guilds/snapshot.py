"""What a session is told at its start: READY and a GUILD_CREATE for each of its guilds. Pure."""

from typing import Any, Final

from fanfare import payloads
from fanfare.constants import LARGE_GUILD
from fanfare.model import THREADS, User
from gateway.guilds.audience import View, rights_of
from gateway.protocol.frames import encode

__all__ = ["NOBODY_THERE", "guild_create", "ready"]

NOBODY_THERE: Final = b',"presences":[],"voice_states":[]'
"""The part of GUILD_CREATE that says who is there, where nothing is known of that."""

# Lists of channels that are kept of a version of a guild, one for each set that some of its members see.
_KEPT: Final = 16


def ready(
    user: User, guilds: list[int], session_id: str, resume_url: str, shard: tuple[int, int] | None
) -> bytes:
    """The `d` of READY; every guild follows in a GUILD_CREATE of its own."""
    d: dict[str, Any] = {
        "v": 10,
        "user": payloads.own_user(user),
        "guilds": [payloads.unavailable_guild(guild) for guild in guilds],
        "session_id": session_id,
        "resume_gateway_url": resume_url,
        "application": {"id": str(user.id), "flags": payloads.APPLICATION_FLAGS},
        "private_channels": [],
        "session_type": "normal",
    }
    if shard is not None:
        d["shard"] = shard
    return encode(d)


def guild_create(
    view: View, user: int, people: bytes, *, joined: bool = False, large_at: int = LARGE_GUILD
) -> bytes:
    """The `d` of GUILD_CREATE for a member, with the channels that are there for the member.

    Everything but the member's own part is made once per version of the guild, and shared by members that see the same
    channels.

    Args:
        view: the guild.
        user: the member.
        people: the part that says who is there (`gateway.statuses.shown`).
        large_at: a guild of more members is sent without them; LARGE_GUILD at the most.
        joined: the member has joined just now. Libraries know that by the missing `unavailable`.

    """
    guild = view.guild
    member = guild.members[user]
    # A guild that was large may have shrunk since; this node still does not know all of its members.
    large = guild.member_count > large_at or not view.whole
    shared = view.snapshots.get(large)
    if shared is None:
        shown = () if large else guild.members.values()
        d = payloads.guild_create(guild, (), shown, joined_at=member.joined_at, large=large)
        del d["joined_at"], d["unavailable"], d["channels"], d["threads"], d["presences"], d["voice_states"]
        if large:
            del d["members"]
        shared = view.snapshots[large] = encode(d)[:-1]
    visible = view.visible(rights_of(view, user))
    own = b',"channels":%b,"threads":%b,"joined_at":%b' % (
        _channels(view, visible),
        _threads(view, visible, user),
        encode(payloads.timestamp(member.joined_at)),
    )
    if not joined:
        own += b',"unavailable":false'
    if large:
        own += b',"members":%b' % encode([payloads.member(member)])
    return shared + own + people + b"}"


def _channels(view: View, visible: frozenset[int]) -> bytes:
    found = view.channel_lists.get(visible)
    if found is None:
        if len(view.channel_lists) >= _KEPT:
            del view.channel_lists[next(iter(view.channel_lists))]
        shown = (
            view.channel_json(ident)
            for ident, channel in view.guild.channels.items()
            if ident in visible and channel.type not in THREADS
        )
        found = view.channel_lists[visible] = b"[%b]" % b",".join(shown)
    return found


def _threads(view: View, visible: frozenset[int], user: int) -> bytes:
    """The open threads that a member sees; each that they have joined says since when."""
    found = []
    for ident, channel in view.guild.channels.items():
        if channel.thread is None or ident not in visible:
            continue
        shown = view.channel_json(ident)
        own = next((one for one in channel.thread.members if one.id == user), None)
        if own is not None:
            shown = b'%b,"member":%b}' % (shown[:-1], encode(payloads.thread_member(channel, own)))
        found.append(shown)
    return b"[%b]" % b",".join(found)
