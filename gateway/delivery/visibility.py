"""What a change to a guild shows to those whose rights were these before it and are those after it. Pure.

A channel that somebody may not see does not exist for them. So a change that shows it to them is CHANNEL_CREATE, and
one that hides it is CHANNEL_DELETE, whatever changed: the channel itself, a role, the owner or a member's roles. Which
threads of a channel are there for somebody is told by THREAD_LIST_SYNC where that changes, and by THREAD_CREATE to who
has joined a private one.

A client that was cut after the first of several frames of an event must not lose the others when it resumes after that
frame's `s`. So only the last frame carries the event's `s`, and those before it the number just below: a client that
resumes with that number counts as having nothing of the event, and gets all of it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from fanfare.model import CATEGORY, THREADS
from fanfare.record import Record
from gateway.delivery.ring import Event
from gateway.guilds.audience import GUILDS, AudienceClass, Rights, View, sees
from gateway.protocol.frames import dispatch, encode, wrap

__all__ = ["frames_of", "rights_after"]

_CHANNELS: Final = frozenset({"CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE"})
_THREADS: Final = frozenset({"THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE"})


def rights_after(record: Record, audience: AudienceClass, after: View) -> Rights:
    """The rights of a class after a change that is about none of its members: a role may be gone."""
    roles = audience.roles
    if record.type == "GUILD_ROLE_DELETE":
        roles = tuple(role for role in roles if role in after.guild.roles)
    return roles, audience.own


def frames_of(event: Event, was: Rights, audience: AudienceClass, *, own: bool = False) -> bytes | None:
    """The frames of a change for sessions in the guild before and after it, None if there are none.

    Args:
        event: with the guild before and after it.
        was: their rights before.
        audience: their class after it.
        own: they get the event whatever their intents.

    """
    record, after = event.dispatch.record, event.view
    assert after is not None
    before = event.before or after
    now = (audience.roles, audience.own)
    if record.type in _CHANNELS:
        return _frames_of_channel(event, was, audience)
    if record.type in _THREADS:
        there = (before, was) if record.type == "THREAD_DELETE" else (after, now)
        told = audience.intents & GUILDS and there[0].shows(there[1], record.channel)
        return event.dispatch.frame(audience.transport, content=True) if told else None
    told = own or sees(after, audience, record)
    main = event.dispatch.frame(audience.transport, content=True) if told else None
    if not audience.intents & GUILDS:
        return main
    if record.type == "THREAD_MEMBERS_UPDATE":
        comes = after.shows(now, record.channel) and not before.shows(was, record.channel)
        others = [("THREAD_CREATE", after.channel_json(record.channel))] if comes else []
    elif was == now and before.has_the_rights_of(after, now):
        return main
    else:
        others = list(_shown(before.visible(was), after.visible(now), before, after))
    return _together(event, audience, others, main)


def _together(
    event: Event, audience: AudienceClass, others: list[tuple[str, bytes]], main: bytes | None
) -> bytes | None:
    """Several frames of an event: dispatches by name, and then its own frame, if it has one."""
    last = event.dispatch.s
    found = [
        wrap(dispatch(last if main is None and at == len(others) else last - 1, name, d), audience.transport)
        for at, (name, d) in enumerate(others, start=1)
    ]
    if main is not None:
        found.append(main)
    return b"".join(found) or None


def _frames_of_channel(event: Event, was: Rights, audience: AudienceClass) -> bytes | None:
    """The frames of a change of one channel: one, and one more where other threads of it are there now."""
    record, after = event.dispatch.record, event.view
    assert after is not None
    if not audience.intents & GUILDS:
        return None
    before = event.before or after
    now = (audience.roles, audience.own)
    saw, shown = before.shows(was, record.channel), after.shows(now, record.channel)
    name = ("CHANNEL_UPDATE" if saw else "CHANNEL_CREATE") if shown else "CHANNEL_DELETE" if saw else ""
    if not name:
        return None
    # A session that does not see the channel any more must not learn what has become of it.
    view = event.before if name == "CHANNEL_DELETE" else after
    assert view is not None
    # Only those of the channel itself can come and go.
    has_threads = record.channel in before.parents | after.parents
    synced = list(_synced(before.visible(was), after.visible(now), before, after)) if has_threads else []
    if synced:
        return _together(event, audience, [(name, view.channel_json(record.channel)), *synced], None)
    if name == record.type:
        return event.dispatch.frame(audience.transport, content=True)
    return event.dispatch.frame_as(name, view.channel_json(record.channel), audience.transport)


def _shown(
    old: frozenset[int], new: frozenset[int], before: View, after: View
) -> Iterator[tuple[str, bytes]]:
    """The channels that went and came; categories come before what is in them, and go after it."""
    for ident in reversed(_ordered(old - new, before)):
        yield "CHANNEL_DELETE", before.channel_json(ident)
    for ident in _ordered(new - old, after):
        yield "CHANNEL_CREATE", after.channel_json(ident)
    yield from _synced(old, new, before, after)


def _synced(
    old: frozenset[int], new: frozenset[int], before: View, after: View
) -> Iterator[tuple[str, bytes]]:
    """The open threads of visible channels in which other threads than before are there."""
    if old == new:
        return
    was, now = before.guild.channels, after.guild.channels
    parents = {was[ident].parent_id for ident in old - new if was[ident].type in THREADS}
    parents |= {now[ident].parent_id for ident in new - old if now[ident].type in THREADS}
    parents &= new
    if parents:
        threads = [
            after.channel_json(ident)
            for ident in sorted(new)
            if now[ident].type in THREADS and now[ident].parent_id in parents
        ]
        yield (
            "THREAD_LIST_SYNC",
            b'{"guild_id":"%d","channel_ids":%b,"threads":[%b],"members":[]}'
            % (after.guild.id, encode([str(one) for one in sorted(parents)]), b",".join(threads)),
        )


def _ordered(channels: Iterable[int], view: View) -> list[int]:
    known = view.guild.channels
    return sorted(
        (ident for ident in channels if known[ident].type not in THREADS),
        key=lambda ident: (known[ident].type != CATEGORY, known[ident].position, ident),
    )
