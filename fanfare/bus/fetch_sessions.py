"""Incremental fetches (KIP-227): a fetch names only the partitions whose offset has changed since the last one.

aiokafka asks for all partitions each time, and gets an answer about each. That costs a worker of some eighty partitions
a fifth of its time, if messages come one by one. Here the broker keeps the list in a fetch session, and answers only
for partitions that have something new. Brokers and the Java client do so since Kafka 1.1; the protocol:
https://cwiki.apache.org/confluence/display/KAFKA/KIP-227
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.protocol.fetch import FetchRequest

__all__ = ["FetchSessions"]

# Earlier versions of the Fetch request have no sessions.
_FIRST_VERSION: Final = 7
_LAST_EPOCH: Final = 2**31 - 1

Place = tuple[str, int]
"""Topic and partition."""


class Fetched(NamedTuple):
    """What to ask of a partition."""

    offset: int
    max_bytes: int


class FetchSession:
    """What one broker knows of what we want. Pure."""

    __slots__ = ("_known", "epoch", "id")

    def __init__(self) -> None:
        self.id = 0
        """As the broker named it; 0: there is none."""
        self.epoch = 0
        """Number of the next request in the session; 0: it names all and opens a session, in the place of `id`."""
        self._known: dict[Place, Fetched] = {}

    def difference(self, wanted: Mapping[Place, Fetched]) -> tuple[set[Place], list[Place]]:
        """What the broker has to be told: partitions whose offset is another one than it knows, and those to forget."""
        changed = {place for place, at in wanted.items() if self._known.get(place) != at}
        return changed, [place for place in self._known if place not in wanted]

    def answered(self, session_id: int, wanted: Mapping[Place, Fetched]) -> None:
        """The broker has answered without an error, with its number for the session (0: it keeps none)."""
        self.id = session_id
        if session_id:
            self.epoch = 1 if self.epoch == _LAST_EPOCH else self.epoch + 1
            self._known = dict(wanted)
        else:
            self.restart()

    def restart(self) -> None:
        """It is not certain what the broker knows: begin a new fetch session."""
        self.epoch = 0
        self._known = {}


class FetchSessions:
    """Stands in the place of `AIOKafkaClient.send`, and makes its fetches incremental."""

    def __init__(self, send: Callable[..., Awaitable[Any]]) -> None:
        """Args: send: what it stands in the place of."""
        self._send = send
        self._sessions: dict[int, FetchSession] = {}

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Send a request to a broker; its answer. Raises as aiokafka's does."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        session = self._sessions.setdefault(node_id, FetchSession())
        wanted = {
            (topic, partition): Fetched(offset, max_bytes)
            for topic, partitions in request.topics
            for partition, offset, max_bytes in partitions
        }
        while True:
            began_anew = session.epoch == 0
            answer = None
            try:
                answer = await self._send(node_id, _Incremental(request, session, wanted), **options)
            finally:
                if answer is None:  # an error, or it was cancelled: the broker may have got the request
                    session.restart()
            if answer.API_VERSION < _FIRST_VERSION:
                return answer
            if not answer.error_code:
                session.answered(answer.session_id, wanted)
                return answer
            # It has forgotten the session, or knows another epoch of it.
            session.restart()
            if began_anew:
                return answer


class _Incremental:
    """A fetch within a session, as aiokafka's connections take it."""

    def __init__(self, whole: Any, session: FetchSession, wanted: Mapping[Place, Fetched]) -> None:
        self._whole = whole
        self._session = session
        self._wanted = wanted

    def prepare(self, versions: Any) -> Any:
        """The request in the newest version of the protocol that both sides know."""
        built = self._whole.prepare(versions)
        if built.API_VERSION < _FIRST_VERSION:
            return built
        changed, forgotten = self._session.difference(self._wanted)
        named = (
            (topic, [one for one in parts if (topic, one[0]) in changed]) for topic, parts in built.topics
        )
        gone: dict[str, list[int]] = {}
        for topic, partition in forgotten:
            gone.setdefault(topic, []).append(partition)
        built.session_id = self._session.id
        built.session_epoch = self._session.epoch
        built.topics = [(topic, parts) for topic, parts in named if parts]
        built.forgotten_topics_data = list(gone.items())
        return built
