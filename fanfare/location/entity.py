"""What moves, and who may publish and watch where it is: drivers, orders, anything. Pure.

An order has no phone of its own: it follows a driver, from the moment of its assignment until it ends, and who may
watch the order sees the driver's positions for that long.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

__all__ = [
    "DWELL",
    "ENDS",
    "ENTER",
    "ENTITY",
    "EXIT",
    "MOST_INSIDE",
    "ORDER",
    "STATES",
    "BadStateError",
    "Entity",
    "Inside",
    "Passage",
    "entity_in",
    "normal_state",
    "packed",
    "step",
]

ENTITY: Final = "ENTITY"
"""Type of the records that say what an entity is after a change."""
ORDER: Final = "order"

STATES: Final = ("placed", "assigned", "picked_up", "near", "delivered", "cancelled")
"""The states of an order, in their order; it may be cancelled from any of them."""
ENDS: Final = frozenset({"delivered", "cancelled"})

ENTER: Final = "enter"
EXIT: Final = "exit"
DWELL: Final = "dwell"
MOST_INSIDE: Final = 100
"""In so many geofences something is at most at a time; further ones do not count."""
# Who misses some changes of an entity, because a connection was away, is told of so many passages afterwards.
_PASSAGES_KEPT: Final = 16


class BadStateError(Exception):
    """An order does not come into this state from the one it is in."""


class Inside(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A geofence that an entity is inside of."""

    geofence: int
    since: int
    """When it came, in ms since 1970, by the clock of the device."""
    stayed: bool = False
    """Whether that it stayed was told."""


class Passage(msgspec.Struct, frozen=True, gc=False):
    """An entity has come to a geofence, stayed, or gone."""

    number: int
    """Of the entity's passages, from 1 on."""
    kind: str
    """`ENTER`, `DWELL` or `EXIT`."""
    geofence: int
    name: str
    """Of the geofence."""
    at: int
    """The time of the position that says so, in ms since 1970."""


class Entity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Something that moves, after one of its changes."""

    id: int
    kind: str
    """`driver`, `order`, or a word of the app's."""
    name: str = ""
    version: int = 1
    """Grows by one with each change."""
    state: str = ""
    """Of an order, one of `STATES`; of others whatever the app says."""
    follows: int = 0
    """The entity whose positions are this one's, too; 0: none."""
    ended: bool = False
    """Nobody publishes or watches it any more."""
    publishers: tuple[int, ...] = ()
    """Users who may say where it is."""
    watchers: tuple[int, ...] = ()
    """Users who may see where it is."""
    coarse: tuple[int, ...] = ()
    """Users who may see about where it is."""
    guild_id: int = 0
    """Of `roles`."""
    roles: tuple[int, ...] = ()
    """Members of the guild with one of these may watch."""
    destination: tuple[float, float] | None = None
    """Where an order is to go: latitude and longitude."""
    inside: tuple[Inside, ...] = ()
    passages: tuple[Passage, ...] = ()
    """The last ones, oldest first."""
    judged: tuple[int, int] = (0, 0)
    """`Fix.newness` of the position that made the last passage: what is not newer makes none."""

    def may_publish(self, user: int) -> bool:
        """Whether a user may say where it is."""
        return not self.ended and user in self.publishers

    def may_watch(self, user: int, roles: Collection[int] = ()) -> bool:
        """Whether a user may see where it is, exactly or about.

        Args:
            user: who.
            roles: those that the user has in the entity's guild.

        """
        return not self.ended and (self.sees_exactly(user, roles) or user in self.coarse)

    def sees_exactly(self, user: int, roles: Collection[int] = ()) -> bool:
        """Whether a user who may watch sees more than about where it is. Arguments as for `may_watch`."""
        return user in self.watchers or user in self.publishers or any(role in self.roles for role in roles)

    @property
    def passed(self) -> int:
        """How many passages there were."""
        return self.passages[-1].number if self.passages else 0

    def passages_since(self, before: "Entity") -> list[Passage]:
        """The passages after an earlier version of the entity."""
        return [one for one in self.passages if one.number > before.passed]

    def with_passages(self, made: Iterable[tuple[str, int, str]], at: int) -> "Entity":
        """The entity after further passages, each the kind, and the id and name of the geofence."""
        new = [
            Passage(self.passed + count, kind, geofence, name, at)
            for count, (kind, geofence, name) in enumerate(made, start=1)
        ]
        kept = max(_PASSAGES_KEPT, len(new))
        return msgspec.structs.replace(self, passages=(*self.passages, *new)[-kept:])

    def says_more(self, before: "Entity") -> bool:
        """Whether more than passages, and what goes with them, has changed since an earlier version."""
        return before != msgspec.structs.replace(
            self, version=before.version, inside=before.inside, passages=before.passages, judged=before.judged
        )


_decoder = msgspec.json.Decoder(Entity)
packed = msgspec.json.Encoder().encode
"""The payload of a record."""


def entity_in(payload: bytes) -> Entity:
    """The entity in the payload of a record. Raises msgspec.DecodeError."""
    return _decoder.decode(payload)


def normal_state(state: str) -> str:
    """A state as we write it: apps say `picked up`, too."""
    return state.strip().lower().replace(" ", "_").replace("-", "_")


def step(now: str, to: str) -> None:
    """Check that an order may come from one state into another one.

    Raises:
        BadStateError: it may not, and why.

    """
    if to not in STATES:
        raise BadStateError(f"Value must be one of {{{', '.join(STATES)}}}.")
    if now in ENDS:
        raise BadStateError(f"The order has ended: it is {now}.")
    if to != "cancelled" and STATES.index(to) < STATES.index(now or "placed"):
        raise BadStateError(f"An order does not go back from {now} to {to}.")
