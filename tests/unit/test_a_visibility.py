"""Who sees which channel and which event, live, slow and resumed, against a twin that asks for each member alone."""

import json
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fanfare.model import PRIVATE_THREAD, PUBLIC_THREAD, Overwrite
from fanfare.permissions import P, in_channel
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import Record
from gateway.delivery.session import Session
from gateway.guilds.apply import undo
from gateway.guilds.audience import View
from gateway.recovery.path import Hop
from gateway.sessions.missed_events import Replays
from tests.unit.gateway_world import (
    ALICE,
    ALL_INTENTS,
    BOB,
    GUILD_ID,
    HIDDEN,
    OWNER,
    PUBLIC,
    STAFF,
    STAFF_ROLE,
    TOPIC,
    Guilds,
    Wire,
    World,
    guild,
    session,
    unframed,
    user,
)
from tests.unit.keeper import Keeper

USERS = [OWNER, STAFF, ALICE, BOB]
CHANNELS = [PUBLIC, HIDDEN, 502]
THREADS = {701: PUBLIC_THREAD, 702: PRIVATE_THREAD, 703: PUBLIC_THREAD}
ROLES = [GUILD_ID, STAFF_ROLE, 91]
BITS = st.sampled_from(
    [0, *map(int, (P.VIEW_CHANNEL, P.ADMINISTRATOR, P.VIEW_CHANNEL | P.CONNECT, P.MANAGE_THREADS))]
)
OVERWRITES = st.builds(Overwrite, st.sampled_from(ROLES), st.just(0), BITS, BITS) | st.builds(
    Overwrite, st.sampled_from(USERS), st.just(1), BITS, BITS
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("say"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("overwrite"), st.sampled_from(CHANNELS), OVERWRITES),
        st.tuples(st.just("channel"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("no channel"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("role"), st.sampled_from(ROLES), BITS),
        st.tuples(st.just("no role"), st.sampled_from(ROLES[1:])),
        st.tuples(st.just("member"), st.sampled_from(USERS), st.sets(st.sampled_from(ROLES[1:]))),
        st.tuples(st.just("owner"), st.sampled_from(USERS[:3])),
        st.tuples(st.just("moves"), st.just(BOB)),
        st.tuples(st.just("say"), st.sampled_from(list(THREADS))),
        st.tuples(st.just("thread"), st.sampled_from(list(THREADS)), st.sampled_from(CHANNELS)),
        st.tuples(st.just("archive"), st.sampled_from(list(THREADS)), st.booleans()),
        st.tuples(st.just("no thread"), st.sampled_from(list(THREADS))),
        st.tuples(st.just("moves thread"), st.sampled_from(list(THREADS)), st.sampled_from(USERS)),
    ),
    max_size=16,
)

KICKED = [("say", PUBLIC), ("moves", BOB), ("say", PUBLIC)]


@dataclass
class Known:
    """What a client knows, as libraries keep it."""

    channels: dict[int, str | None]
    """Topics; None of a thread."""
    parents: dict[int, int] = field(default_factory=dict)
    """Of threads."""
    contents: list[str] = field(default_factory=list)
    s: int = 0
    me: int = 0

    def take(self, *messages: dict) -> None:
        for message in messages:
            d, ident, topic = message["d"], int(message["d"].get("id", 0)), message["d"].get("topic")
            assert message["s"] >= self.s
            self.s = message["s"]
            match message["t"]:
                case "GUILD_CREATE":
                    self.channels = {int(channel["id"]): channel["topic"] for channel in d["channels"]}
                    self.parents = {}
                    self.threads(d["threads"])
                case "GUILD_DELETE":
                    self.channels, self.parents = {}, {}
                case "THREAD_CREATE":
                    self.threads([d])
                case "THREAD_UPDATE":
                    assert int(d["parent_id"]) in self.channels
                    self.forget([ident])
                    if not d["thread_metadata"]["archived"]:
                        self.threads([d])
                case "THREAD_DELETE":
                    self.forget([ident])
                case "THREAD_LIST_SYNC":
                    synced = set(map(int, d["channel_ids"]))
                    assert synced <= self.channels.keys()
                    self.forget([one for one, parent in self.parents.items() if parent in synced])
                    assert {int(thread["parent_id"]) for thread in d["threads"]} <= synced
                    self.threads(d["threads"])
                case "THREAD_MEMBERS_UPDATE" if str(self.me) in d.get("removed_member_ids", ()):
                    self.forget([ident] if THREADS[ident] == PRIVATE_THREAD else [])
                case "CHANNEL_CREATE":
                    self.channels[ident] = topic
                case "CHANNEL_DELETE":
                    assert self.channels.pop(ident, topic) == topic, "what it has become is hidden"
                    self.forget([one for one, parent in self.parents.items() if parent == ident])
                case "CHANNEL_UPDATE":
                    assert ident in self.channels
                    self.channels[ident] = topic
                case "MESSAGE_CREATE":
                    self.contents.append(d["content"])

    def threads(self, threads: list[dict]) -> None:
        for thread in threads:
            assert int(thread["parent_id"]) in self.channels
            self.channels[int(thread["id"])] = None
            self.parents[int(thread["id"])] = int(thread["parent_id"])

    def forget(self, threads: list[int]) -> None:
        for ident in threads:
            self.channels.pop(ident, None)
            self.parents.pop(ident, None)


class Play:
    """A guild that changes, the inbox of a node that hears of it, and what each member should know after each entry."""

    def __init__(self) -> None:
        self.world = World()
        self.keeper = Keeper(guild(), self.world.log)
        self.entries: list[InboxEntry] = []
        self.states = [self.keeper.state]
        self.said: dict[int, list[str]] = {ident: [] for ident in USERS}
        """Of each user, what they could see when it was said."""
        self.visible = [{ident: self.keeper.visible(ident) for ident in USERS}]

    def step(self, number: int, step: tuple) -> Record | None:
        keeper, channels, roles = self.keeper, self.keeper.state.channels, self.keeper.state.roles
        match step:
            case "say", channel if channel in channels:
                for ident in USERS:
                    if channel in keeper.heard(ident):
                        self.said[ident].append(str(number))
                return self.world.log.message(str(number), channel=channel)
            case "overwrite", channel, one if channel in channels and (one.type or one.id in roles):
                return keeper.overwrite(channel, one, topic=str(number))
            case "channel", channel:
                return keeper.channel(channel, topic=str(number))
            case "no channel", channel if channel in channels and all(
                one.parent_id != channel for one in channels.values()
            ):
                return keeper.no_channel(channel)
            case "thread", ident, parent if ident not in channels and parent in channels:
                return keeper.thread(ident, parent, THREADS[ident])
            case "archive", ident, archived if ident in channels:
                return keeper.thread(ident, 0, archived=archived)
            case "no thread", ident if ident in channels:
                return keeper.no_thread(ident)
            case "moves thread", ident, who if ident in channels and who in keeper.state.members:
                # Who manages threads still sees the private one that they have left; a client cannot tell.
                held = keeper.state.members[who].roles
                parent = channels[channels[ident].parent_id]
                if in_channel(keeper.state, held, who, parent) & P.MANAGE_THREADS:
                    return None
                return keeper.moves_thread(ident, who)
            case "role", ident, bits:
                return keeper.role(ident, bits)
            case "no role", ident if ident in roles:
                return keeper.no_role(ident)
            case "member", ident, held if ident in keeper.state.members and held <= roles.keys():
                return keeper.member(ident, *held)
            case "owner", ident:
                return keeper.owner(ident)
            case "moves", ident if ident != keeper.state.owner_id:
                return (keeper.leaves if ident in keeper.state.members else keeper.joins)(ident)
        return None

    def run(self, steps: list[tuple]) -> None:
        for number, step in enumerate(steps):
            record = self.step(number, step)
            if record is None:
                continue
            self.entries.append(InboxEntry(self.world.hub.s + 3, record))
            self.world.take(record)
            self.states.append(self.keeper.state)
            self.visible.append({ident: self.keeper.visible(ident) for ident in USERS})

    def started(self, ident: int) -> Known:
        return Known(dict.fromkeys(self.visible[0][ident]), me=ident)


def messages(data: bytes) -> list[dict]:
    return [json.loads(payload) for _, payload in unframed(data)]


@settings(deadline=None)
@given(STEPS)
def test_a3_a_client_knows_the_channels_that_it_may_see_and_hears_of_no_others(steps):
    play = Play()
    live = {ident: session(play.world.hub, ident) for ident in USERS}
    slow = {ident: session(play.world.hub, ident) for ident in USERS}
    deaf = {ident: session(play.world.hub, ident, intents=ALL_INTENTS & ~1) for ident in USERS}
    for wire in slow.values():
        wire.stuck = True
        wire.send(b"")
    play.run(steps)
    for ident in USERS:
        slow[ident].drain()
        assert slow[ident].messages == live[ident].messages
        assert deaf[ident].contents == [
            each
            for each in live[ident].contents
            if not each.startswith(
                (
                    "CHANNEL",
                    "GUILD_ROLE",
                    "GUILD_UPDATE",
                    "THREAD_CREATE",
                    "THREAD_UPDATE",
                    "THREAD_DELETE",
                    "THREAD_LIST",
                )
            )
        ]
        known, told = play.started(ident), live[ident].messages
        for at, entry in enumerate(play.entries, start=1):
            while told and told[0]["s"] <= entry.s:
                known.take(told.pop(0))
            assert known.channels.keys() == play.visible[at][ident]
        assert not told
        assert known.contents == play.said[ident]


@settings(deadline=None)
@given(STEPS, st.sampled_from(USERS), st.integers(0, 40))
def test_a3_a_cut_between_any_two_frames_loses_nothing(steps, ident, cut):
    """Several frames may be one event's: a client that has got the first of them gets the others when it resumes."""
    play = Play()
    live = session(play.world.hub, ident)
    play.run(steps)
    known = play.started(ident)
    known.s = 100
    known.take(*live.messages[:cut])
    again = Wire()
    play.world.hub.detach(live.session, ended=False)
    again.hub, again.session = play.world.hub, live.session
    cursor = play.world.hub.ring.after(known.s)
    play.world.hub.catch_up.rewind(live.session, cursor)
    play.world.hub.attach(again.session, again, cursor=cursor)
    known.take(*again.messages)
    told = {(each["t"], each["s"]) for each in live.messages}
    if all(ident in state.members for state in play.states):
        assert {(each["t"], each["s"]) for each in live.messages[:cut] + again.messages} == told
        assert known.channels.keys() == play.visible[-1][ident]
        assert known.contents == play.said[ident]


@settings(deadline=None)
@given(STEPS, st.sampled_from(USERS), st.integers(0, 40), st.integers(0, 16), st.booleans())
@example(KICKED, BOB, 0, 3, True)
@example(KICKED, BOB, 0, 3, False)
@example([*KICKED, ("moves", BOB), ("say", PUBLIC)], BOB, 0, 4, True)
@example([*KICKED, ("moves", BOB), ("say", PUBLIC)], BOB, 0, 5, False)
def test_a8_a_node_that_loads_the_guild_later_shows_what_was_visible_then(steps, ident, cut, moved, late):
    """The session's client was cut on one node; the other one, which goes on with it, knows only the guild as it is."""
    play = Play()
    live = session(play.world.hub, ident)
    play.run(steps)
    known = play.started(ident)
    known.s = 100
    known.take(*live.messages[:cut])
    has = sum(entry.s <= known.s for entry in play.entries)
    moved = min(max(moved, has), len(play.entries))

    guilds = Guilds()
    other = World(guilds, "node.2", 10_000).hub
    offset = play.entries[moved - 1].record.position.offset if moved else -1
    if not late:
        guilds.views[GUILD_ID] = View(play.states[moved])
    for entry in play.entries[moved:]:
        other.take(InboxEntry(other.s + 3, entry.record))
    other.settle()
    if late:
        guilds.views[GUILD_ID] = View(play.keeper.state)
    f = {f"{TOPIC}/0": offset}
    held = Session("s", "id", user(ident), ALL_INTENTS, [Hop("node.2")], 0)
    held.guilds = {GUILD_ID} if ident in play.keeper.state.members else set()
    wire = Wire()
    wire.hub, wire.session = other, held
    other.keep(held)
    replays = Replays(other, guilds)
    owed = [entry for entry in play.entries[:moved] if entry.s > known.s]
    replays.put(held, wire, replays.events(held, owed, ring_from=0, f=f, unread=()))
    held.skip = f
    other.attach(held, wire, cursor=0)
    known.take(*wire.messages)
    # Whoever joins or leaves while the session moves is told to come again, so in the rest nothing changes.
    if len({ident in state.members for state in play.states[moved:]}) == 1:
        assert known.channels.keys() == play.visible[-1][ident]
        assert known.contents == play.said[ident]
    assert set(known.contents) <= set(play.said[ident])


@settings(deadline=None)
@given(STEPS)
def test_a8_each_change_says_what_was_before_it(steps):
    play = Play()
    play.run(steps)
    for entry, before, after in zip(play.entries, play.states, play.states[1:], strict=False):
        if entry.record.version:
            back = undo(after, entry.record)
            assert replace(back, version=0) == replace(before, version=0)
            assert back.version == entry.record.version - 1
