"""What the geofences' consumer makes of the log, whatever comes again and whoever takes over."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.geofences import GeofenceSink
from fanfare.bus.batches import Incoming, TopicPartition
from fanfare.location.entity import ENTITY, Entity
from fanfare.location.entity import packed as entity_packed
from fanfare.location.geofences import Geofence, Geofences, judged
from fanfare.location.positions import POSITIONS, Fix, packed
from fanfare.location.shapes import Circle
from fanfare.record import Record
from fanfare.store.errors import StoreUnavailableError
from fanfare.trouble import Trouble

PARTITION = TopicPartition("location.events", 0)
ALL = [
    Geofence(id=7, shape=Circle(52.5, 13.4, 100.0), kinds=("driver",), dwell_s=2),
    Geofence(id=8, shape=Circle(52.502, 13.4, 150.0), entities=(1, 3)),
]
PLACES = (52.5, 52.5009, 52.5011, 52.5014, 52.502, 52.504)
DRIVERS = (Entity(id=1, kind="driver"), Entity(id=2, kind="driver"))


class Memory:
    """The store, as far as the sink asks it; it may be away."""

    def __init__(self, *entities: Entity) -> None:
        self.entities = {one.id: one for one in entities}
        self.away = 0
        self.told: list[tuple[int, str, int, int]] = []

    async def geofences(self) -> list[Geofence]:
        return ALL

    async def geofences_stand(self) -> tuple[int, int]:
        return len(ALL), 8

    async def entities_around(self, sources: Sequence[int]) -> list[Entity]:
        self._ask()
        return [
            one
            for one in self.entities.values()
            if not one.ended and (one.id in sources or one.follows in sources)
        ]

    async def change_entity(
        self, ident: int, alter: Callable[[Entity], Entity]
    ) -> tuple[Entity, Entity | None]:
        self._ask()
        before = self.entities[ident]
        after = alter(before)
        if after == before:
            return before, None
        after = msgspec.structs.replace(after, version=before.version + 1)
        self.told += [(ident, one.kind, one.geofence, one.at) for one in after.passages_since(before)]
        self.entities[ident] = after
        return after, before

    def _ask(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("away", Trouble.AWAY)


def positions(*fixes: Fix) -> Record:
    return Record(type=POSITIONS, payload=packed(list(fixes)))


def incoming(records: Sequence[Record], first: int) -> list[Incoming]:
    return [Incoming(one, first + at, 1 << 50, b"", ()) for at, one in enumerate(records)]


async def handle(store: Memory, sink: GeofenceSink, records: Sequence[Record], first: int = 0) -> None:
    """As the consumer does: again until the store is there."""
    for _ in range(10 if records else 0):
        try:
            await sink.handle(PARTITION, incoming(records, first))
        except StoreUnavailableError:
            continue
        return


def sink_of(store: Memory) -> GeofenceSink:
    return GeofenceSink(store, 300)  # type: ignore[arg-type]


LOGS = st.lists(st.tuples(st.sampled_from((1, 2)), st.sampled_from(PLACES)), min_size=1, max_size=40)
STEPS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 8), st.booleans(), st.integers(0, 2)), max_size=30
)


@given(LOGS, STEPS)
async def test_what_is_told_is_what_the_log_says_once(log, steps):
    """Batches of any size, some of them again, now and then by another worker, the store away now and then."""
    records = [
        positions(Fix(entity_id=entity, at=1000 * at + 1000, lat=lat, lon=13.4))
        for at, (entity, lat) in enumerate(log)
    ]
    wanted, known = [], {one.id: one for one in DRIVERS}
    for at, (entity, lat) in enumerate(log):
        fix = Fix(entity_id=entity, at=1000 * at + 1000, lat=lat, lon=13.4)
        after = judged(known[entity], fix, Geofences(ALL))
        wanted += [(entity, one.kind, one.geofence, one.at) for one in after.passages_since(known[entity])]
        known[entity] = after
    store = Memory(*DRIVERS)
    sink, done = sink_of(store), 0
    for size, back, another, away in steps:
        # What was done since offsets were committed last comes again.
        first = max(0, done - back)
        if another:
            sink = sink_of(store)
        store.away = away
        await handle(store, sink, records[first : done + size], first)
        done = min(len(records), done + size)
    store.away = 0
    await handle(store, sink, records[done:], done)
    assert sorted(store.told) == sorted(wanted)
    for ident in (1, 2):
        assert [one for one in store.told if one[0] == ident] == [one for one in wanted if one[0] == ident]


async def test_an_order_is_judged_from_its_assignment_to_its_end():
    order = Entity(id=3, kind="order", state="placed")
    store = Memory(*DRIVERS, order)
    sink = sink_of(store)
    at = iter(range(1000, 100_000, 1000))

    async def drive(*lats: float, first: int) -> None:
        await handle(
            store, sink, [positions(Fix(entity_id=1, at=next(at), lat=lat, lon=13.4)) for lat in lats], first
        )

    def changed(**fields) -> Record:
        after = store.entities[3] = msgspec.structs.replace(
            store.entities[3], version=store.entities[3].version + 1, **fields
        )
        return Record(type=ENTITY, channel=1, payload=entity_packed(after))

    await drive(52.502, 52.51, first=0)
    await handle(store, sink, [changed(follows=1, state="assigned")], 2)
    await drive(52.502, first=3)
    await handle(store, sink, [changed(follows=0, ended=True, state="delivered")], 4)
    await drive(52.51, 52.502, first=5)
    assert [one[1:3] for one in store.told if one[0] == 3] == [("enter", 8)]


async def test_who_comes_back_to_a_partition_looks_again_at_what_is_there():
    """Another worker had it meanwhile, and made a passage that this one does not know of."""
    store = Memory(*DRIVERS)
    one, other = sink_of(store), sink_of(store)

    def at(moment: int, lat: float) -> Record:
        return positions(Fix(entity_id=1, at=moment, lat=lat, lon=13.4))

    await handle(store, one, [at(1000, 52.5)], 0)
    await handle(store, other, [at(1500, 52.51)], 1)
    await handle(store, one, [at(2000, 52.5)], 2)
    kinds = [(kind, moment) for _, kind, geofence, moment in store.told if geofence == 7]
    assert kinds == [("enter", 1000), ("exit", 1500), ("enter", 2000)]


@pytest.mark.parametrize("payload", [b"", b"{", b"[5]", b'[{"entity_id": 1}]'])
async def test_what_cannot_be_read_is_passed_over(payload):
    store = Memory(*DRIVERS)
    sink = sink_of(store)
    bad = [Record(type=kind, channel=1, payload=payload) for kind in (POSITIONS, ENTITY, "OTHER")]
    await handle(store, sink, [*bad, positions(Fix(entity_id=1, at=1000, lat=52.5, lon=13.4))])
    assert [one[1] for one in store.told] == ["enter", "enter"] or [one[1] for one in store.told] == ["enter"]
