"""A small guild, records about it and a client's view of frames, for the tests of the gateway's pure modules."""

import itertools
import json
import zlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from fanfare import payloads
from fanfare.model import Channel, Guild, Member, Overwrite, Role, User
from fanfare.permissions import P
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import GUILD, USERS, Record
from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.delivery.writing import one_by_one
from gateway.guilds.apply import apply
from gateway.guilds.audience import View
from gateway.guilds.snapshot import NOBODY_THERE
from gateway.protocol.frames import Transport
from gateway.recovery.path import Hop

GUILD_ID = 77
PUBLIC, HIDDEN = 500, 501
OWNER, STAFF, ALICE, BOB = 1, 2, 3, 4
STAFF_ROLE = 90
ALL_INTENTS = (1 << 16) - 1
NO_CONTENT = ALL_INTENTS & ~(1 << 15)
JOINED_AT = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
TOPIC = "chat.events"
INBOX = "node.1"


def user(ident: int) -> User:
    return User(id=ident, username=f"user{ident}")


def member(ident: int, *roles: int) -> Member:
    return Member(user=user(ident), roles=roles, joined_at=JOINED_AT)


def guild(ident: int = GUILD_ID, version: int = 1) -> Guild:
    """Everybody sees PUBLIC; HIDDEN is for the owner and the staff."""
    everyone = Role(id=ident, name="@everyone", permissions=P.VIEW_CHANNEL | P.SEND_MESSAGES)
    staff = Role(id=STAFF_ROLE, name="staff", permissions=P.VIEW_CHANNEL, position=1)
    hidden = (Overwrite(ident, 0, 0, P.VIEW_CHANNEL), Overwrite(STAFF_ROLE, 0, P.VIEW_CHANNEL, 0))
    members = [member(OWNER), member(STAFF, STAFF_ROLE), member(ALICE), member(BOB)]
    return Guild(
        id=ident,
        name="guild",
        owner_id=OWNER,
        version=version,
        member_count=len(members),
        roles={role.id: role for role in (everyone, staff)},
        channels={
            PUBLIC: Channel(id=PUBLIC, guild_id=ident, name="public"),
            HIDDEN: Channel(id=HIDDEN, guild_id=ident, name="hidden", overwrites=hidden),
        },
        members={each.user.id: each for each in members},
    )


class Log:
    """Makes records with rising positions, as one partition of Kafka would."""

    def __init__(self) -> None:
        self._offsets = itertools.count()

    def record(self, name: str, payload: object = None, **fields) -> Record:
        source = (TOPIC, 0, next(self._offsets))
        return Record(type=name, payload=json.dumps(payload).encode(), source=source, **fields)

    def message(self, content: str, channel: int = PUBLIC, guild: int = GUILD_ID, **fields) -> Record:
        """A message with its gated fields next to each other."""
        source = (TOPIC, 0, next(self._offsets))
        gated = b'"content":%b,"embeds":[1],"attachments":[],"components":[]' % json.dumps(content).encode()
        payload = b'{"id":"1",' + gated + b',"tts":false}'
        return Record(
            type="MESSAGE_CREATE",
            guild=guild,
            channel=channel,
            gated=(10, 10 + len(gated)),
            payload=payload,
            source=source,
            **fields,
        )

    def direct(self, content: str, *users: int) -> Record:
        return self.message(content, channel=900, guild=0, audience=USERS, users=users)

    def change(self, name: str, payload: Any, version: int, before: Any = None, **fields) -> Record:
        if name.startswith(("CHANNEL_", "THREAD_")):
            fields["channel"] = int(payload["id"])
        told = json.dumps(before).encode() if before is not None else b""
        return self.record(
            name, payload, audience=GUILD, guild=GUILD_ID, version=version, before=told, **fields
        )


class Guilds:
    """Stands in for the gateway's GuildCache: the guilds that are loaded, kept current by `apply`."""

    def __init__(self, *views: View) -> None:
        self.views = {view.guild.id: view for view in views}
        self.ahead: dict[int, int] = {}
        self.held: Counter[int] = Counter()

    def hold(self, guild: int) -> None:
        self.held[guild] += 1

    def release(self, guild: int) -> None:
        self.held[guild] -= 1

    def apply(self, record: Record) -> View | None:
        view = self.views.get(record.guild)
        if view is not None and record.version > view.guild.version:
            view = self.views[record.guild] = View(apply(view.guild, record), view)
        return view


class People:
    """Stands in for what a node knows of statuses: nobody is there."""

    def take(self, record: Record) -> None:
        pass

    def part(self, view: View, user: int, intents: int) -> bytes:
        return NOBODY_THERE

    async def of_members(self, guild: int, users: list[int]) -> list[tuple[int, bytes]]:
        return []


class World:
    """A hub with a guild, and the log that it takes; `wanted` guilds are loaded at once, unless `loads` is False."""

    def __init__(
        self, guilds: Guilds | None = None, inbox: str = INBOX, s: int = 100, **options: Any
    ) -> None:
        self.guilds = guilds or Guilds(View(guild()))
        self.loads = True
        self.wanted: list[tuple[Session, int]] = []
        self.forgotten: list[Session] = []
        self.seen: list[int] = []
        self.hub = Hub(
            guilds=self.guilds,
            inbox=inbox,
            s=s,
            load_guild=self._load,
            forgotten=self.forgotten.append,
            seen=self.seen.append,
            changed=lambda _: None,
            people=People(),
            **{"write": one_by_one, **options},
        )
        self.log = Log()
        self.version = 1

    def _load(self, session: Session, guild: int, loaded: object) -> None:
        self.wanted.append((session, guild))
        if self.loads:
            session.coming |= {guild}

    def take(self, *records: Record) -> None:
        for record in records:
            self.hub.take(InboxEntry(self.hub.s + 3, record))
        self.hub.settle()

    def say(self, *contents: str, **fields) -> None:
        self.take(*(self.log.message(content, **fields) for content in contents))

    def change(self, name: str, payload: object, *users: int) -> None:
        self.version += 1
        self.take(self.log.change(name, payload, self.version, users=users))

    def joins(self, ident: int) -> None:
        told = payloads.member(member(ident)) | {"guild_id": str(GUILD_ID)}
        self.change("GUILD_MEMBER_ADD", told, ident)

    def leaves(self, ident: int) -> None:
        told = {"guild_id": str(GUILD_ID), "user": payloads.user(user(ident))}
        self.change("GUILD_MEMBER_REMOVE", told, ident)

    def member_of(self, ident: int, *roles: int) -> None:
        self.change("GUILD_MEMBER_UPDATE", payloads.member(member(ident, *roles)))


class Wire:
    """A session's socket: keeps what is written; with `stuck` it takes a write and is blocked from then on."""

    fd = -1

    def __init__(self, transport: Transport = Transport.JSON) -> None:
        self.transport_kind = transport
        self.open = True
        self.blocked = False
        self.stuck = False
        self.ended = None
        self.hub = self.session = None
        self.data = b""

    def send(self, data: bytes) -> None:
        assert self.open
        self.data += data
        if self.stuck:
            self.blocked = True
            if self.session is not None:
                self.hub.block(self.session)

    def rest(self, data: bytes, written: int) -> None:
        raise AssertionError("there is no descriptor")

    def end(self, code, reason: str) -> None:
        self.open = False
        self.ended = code

    def drain(self) -> None:
        """The client reads on."""
        self.stuck = self.blocked = False
        if self.open:
            self.hub.drained(self.session)

    @property
    def messages(self) -> list[dict]:
        return [json.loads(text) for text in inflated(self.data, self.transport_kind)]

    @property
    def contents(self) -> list[str]:
        """The content of each message, or the name of what is no message."""
        return [
            each["d"]["content"] if each["t"] == "MESSAGE_CREATE" else each["t"] for each in self.messages
        ]


def session(hub, ident: int, wire: Wire | None = None, *, intents: int = ALL_INTENTS, **attach) -> Wire:
    """Attach a session of a user to the hub."""
    wire = wire or Wire()
    held = Session(f"s{len(hub.sessions)}", "id", user(ident), intents, [Hop(hub.inbox)], 0)
    held.guilds = {key for key, view in hub.guilds.views.items() if ident in view.guild.members}
    wire.hub, wire.session = hub, held
    hub.attach(held, wire, **attach)
    return wire


def unframed(data: bytes) -> list[tuple[int, bytes]]:
    """(first byte, payload) of each websocket frame; nothing may be left over."""
    found = []
    while data:
        first, length = data[0], data[1]
        assert length < 128, "a server does not mask"
        at = 2 + {126: 2, 127: 8}.get(length, 0)
        if at > 2:
            length = int.from_bytes(data[2:at], "big")
        assert len(data) >= at + length
        found.append((first, data[at : at + length]))
        data = data[at + length :]
    return found


def inflated(data: bytes, transport: Transport) -> list[bytes]:
    """The messages in a connection's bytes; the transport's head may be missing, as the shell writes it."""
    payloads = [payload for _, payload in unframed(data)]
    if transport is Transport.JSON:
        return payloads
    if transport is Transport.ZLIB:
        inflate = zlib.decompressobj(wbits=-15)
        return [inflate.decompress(payload.removeprefix(transport.value)) for payload in payloads]
    return [raw_blocks(payload.removeprefix(transport.value)) for payload in payloads]


def raw_blocks(data: bytes) -> bytes:
    """What zstd's raw blocks hold (RFC 8878, section 3.1.1.2)."""
    found = b""
    while data:
        header = int.from_bytes(data[:3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        assert (last, kind) == (0, 0), "a raw block that is not the last"
        assert size <= 131_072
        assert len(data) >= 3 + size
        found += data[3 : 3 + size]
        data = data[3 + size :]
    return found
