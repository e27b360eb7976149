"""A guild as the store keeps it: changes it and says what changed, as records that carry what they replaced."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from fanfare import payloads
from fanfare.model import PUBLIC_THREAD, Channel, Guild, Overwrite, Role, Thread, ThreadMember
from fanfare.permissions import P, in_channel
from fanfare.record import Record
from tests.unit.gateway_world import GUILD_ID, Log, member, user

_NOW: Final = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


class Keeper:
    """One guild; `state` is replaced by each change."""

    def __init__(self, state: Guild, log: Log) -> None:
        self.state = state
        self.log = log

    def visible(self, ident: int) -> frozenset[int]:
        """The channels and open threads that a member may see, asked one by one; none for who is no member."""
        return frozenset(one for one in self.heard(ident) if not self._archived(one))

    def _archived(self, ident: int) -> bool:
        thread = self.state.channels[ident].thread
        return thread is not None and thread.archived

    def heard(self, ident: int) -> frozenset[int]:
        """The same with archived threads: what was said before may come after."""
        held = self.state.members.get(ident)
        if held is None:
            return frozenset()
        return frozenset(
            channel.id
            for channel in self.state.channels.values()
            if in_channel(self.state, held.roles, ident, channel) & P.VIEW_CHANNEL
        )

    def _done(
        self, name: str, payload: Any, before: Any = None, users: tuple[int, ...] = (), **fields
    ) -> Record:
        self.state = replace(self.state, version=self.state.version + 1, **fields)
        return self.log.change(name, payload, self.state.version, users=users, before=before)

    def channel(self, ident: int, **changes) -> Record:
        """Make or change a channel."""
        old = self.state.channels.get(ident)
        new = replace(old or Channel(id=ident, guild_id=GUILD_ID, name="new"), **changes)
        new = replace(new, overwrites=tuple(sorted(new.overwrites, key=lambda one: one.id)))
        name, before = ("CHANNEL_UPDATE", payloads.channel(old)) if old else ("CHANNEL_CREATE", None)
        return self._done(name, payloads.channel(new), before, channels=self.state.channels | {ident: new})

    def overwrite(self, channel: int, one: Overwrite, **changes) -> Record:
        """Set what a channel allows and denies, and change it besides."""
        others = [o for o in self.state.channels[channel].overwrites if o.id != one.id]
        return self.channel(channel, overwrites=(*others, one), **changes)

    def no_channel(self, ident: int) -> Record:
        """Delete a channel."""
        left = {key: value for key, value in self.state.channels.items() if key != ident}
        return self._done("CHANNEL_DELETE", payloads.channel(self.state.channels[ident]), channels=left)

    def thread(self, ident: int, parent: int, kind: int = PUBLIC_THREAD, **changes) -> Record:
        """Make a thread, or change it."""
        old = self.state.channels.get(ident)
        made = Channel(
            id=ident,
            type=kind,
            guild_id=GUILD_ID,
            parent_id=parent,
            name="thread",
            thread=Thread(owner_id=1, made_at=_NOW, changed_at=_NOW),
        )
        new = old or made
        assert new.thread is not None
        new = replace(new, thread=replace(new.thread, **changes))
        name, before = ("THREAD_UPDATE", payloads.channel(old)) if old else ("THREAD_CREATE", None)
        return self._done(name, payloads.channel(new), before, channels=self.state.channels | {ident: new})

    def no_thread(self, ident: int) -> Record:
        """Delete a thread."""
        old = self.state.channels[ident]
        left = {key: value for key, value in self.state.channels.items() if key != ident}
        before = payloads.channel(old) | {"members": payloads.thread_members(old)}
        return self._done("THREAD_DELETE", payloads.thread_gone(old), before, channels=left)

    def moves_thread(self, ident: int, who: int) -> Record:
        """Let somebody join a thread, or leave it if they have joined."""
        old = self.state.channels[ident]
        assert old.thread is not None
        added = () if who in old.thread.joined else (ThreadMember(who, _NOW),)
        kept = [one for one in old.thread.members if one.id != who]
        members = tuple(sorted((*kept, *added), key=lambda one: one.id))
        new = replace(old, thread=replace(old.thread, members=members))
        return self._done(
            "THREAD_MEMBERS_UPDATE",
            payloads.thread_members_update(new, added, () if added else (who,)),
            {"id": str(ident), "members": payloads.thread_members(old)},
            (who,),
            channels=self.state.channels | {ident: new},
        )

    def role(self, ident: int, permissions: int) -> Record:
        """Make a role or change its permissions."""
        old = self.state.roles.get(ident)
        new = Role(id=ident, name="role", permissions=permissions)
        name = "GUILD_ROLE_UPDATE" if old else "GUILD_ROLE_CREATE"
        before = {"role": payloads.role(old)} if old else None
        return self._done(
            name,
            {"guild_id": "77", "role": payloads.role(new)},
            before,
            roles=self.state.roles | {ident: new},
        )

    def no_role(self, ident: int) -> Record:
        """Delete a role, from its members and the channels too."""
        state, lost = self.state, []
        channels, members = dict(state.channels), dict(state.members)
        for channel in state.channels.values():
            gone = [one for one in channel.overwrites if one.id == ident]
            lost += [{"channel_id": str(channel.id), "overwrite": payloads.overwrite(one)} for one in gone]
            left = tuple(one for one in channel.overwrites if one.id != ident)
            channels[channel.id] = replace(channel, overwrites=left)
        held = [key for key, each in state.members.items() if ident in each.roles]
        for key in held:
            members[key] = replace(members[key], roles=tuple(r for r in members[key].roles if r != ident))
        before = {
            "role": payloads.role(state.roles[ident]),
            "overwrites": lost,
            "members": [str(key) for key in held],
        }
        return self._done(
            "GUILD_ROLE_DELETE",
            {"guild_id": "77", "role_id": str(ident)},
            before,
            roles={key: value for key, value in state.roles.items() if key != ident},
            channels=channels,
            members=members,
        )

    def member(self, ident: int, *roles: int) -> Record:
        """Give a member these roles."""
        new = member(ident, *sorted(roles))
        before = payloads.member(self.state.members[ident])
        return self._done(
            "GUILD_MEMBER_UPDATE",
            payloads.member(new),
            before,
            (ident,),
            members=self.state.members | {ident: new},
        )

    def joins(self, ident: int) -> Record:
        """Let somebody join."""
        new = member(ident)
        return self._done(
            "GUILD_MEMBER_ADD",
            payloads.member(new) | {"guild_id": "77"},
            None,
            (ident,),
            members=self.state.members | {ident: new},
            member_count=self.state.member_count + 1,
        )

    def leaves(self, ident: int, name: str = "GUILD_MEMBER_REMOVE") -> Record:
        """Let a member leave."""
        before = payloads.member(self.state.members[ident])
        return self._done(
            name,
            {"guild_id": "77", "user": payloads.user(user(ident))},
            before,
            (ident,),
            members={key: value for key, value in self.state.members.items() if key != ident},
            member_count=self.state.member_count - 1,
        )

    def owner(self, ident: int) -> Record:
        """Give the guild to somebody."""
        before = {"name": self.state.name, "owner_id": str(self.state.owner_id)}
        told = payloads.guild(replace(self.state, owner_id=ident))
        return self._done("GUILD_UPDATE", told, before, owner_id=ident)
