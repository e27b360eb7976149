"""Fetch sessions: what the broker is told is what is wanted, whatever gets lost on the way."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11
from hypothesis import given
from hypothesis import strategies as st

from fanfare.bus.fetch_sessions import FetchSessions

SESSION_UNKNOWN, WRONG_EPOCH = 70, 71
PLACES = [("chat.events", 0), ("chat.events", 1), ("guild.events", 0)]
KIB = 1024


class Broker:
    """The broker's side of KIP-227, with one cache of sessions."""

    def __init__(self) -> None:
        self.sessions: dict[int, list[Any]] = {}
        self.made = 0
        self.full = False
        """No session is kept any more."""
        self.fault = ""
        self.told: list[FetchRequest_v11] = []

    async def send(self, node_id: int, request: Any, **_: object) -> Any:
        fault, self.fault = self.fault, ""
        if fault == "unsent":
            raise KafkaConnectionError
        built = request.prepare({FetchRequest.API_KEY: (4, 11)})
        built.encode()
        self.told.append(built)
        answer = self.take(built)
        if fault == "unanswered":
            raise KafkaConnectionError
        if fault == "cancelled":
            raise asyncio.CancelledError
        return answer

    def take(self, built: Any) -> Any:
        asked = {
            (topic, partition): offset
            for topic, parts in built.topics
            for partition, _, offset, _, _ in parts
        }
        if built.session_epoch == 0:
            self.sessions.pop(built.session_id, None)
            if self.full:
                return self.answer(0, 0, asked)
            self.made += 1
            self.sessions[self.made] = [1, asked]
            return self.answer(0, self.made, asked)
        session = self.sessions.get(built.session_id)
        if session is None:
            return self.answer(SESSION_UNKNOWN, 0, {})
        if session[0] != built.session_epoch:
            return self.answer(WRONG_EPOCH, 0, {})
        session[0] += 1
        session[1] |= asked
        for topic, partitions in built.forgotten_topics_data:
            for partition in partitions:
                del session[1][topic, partition]
        return self.answer(0, built.session_id, session[1])

    @staticmethod
    def answer(error: int, session_id: int, fetched: dict[Any, int]) -> Any:
        return SimpleNamespace(API_VERSION=11, error_code=error, session_id=session_id, fetched=dict(fetched))


def request(wanted: dict[tuple[str, int], int]) -> FetchRequest:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, partition), offset in wanted.items():
        topics.setdefault(topic, []).append((partition, offset, KIB))
    return FetchRequest(50, 1, 1 << 20, 0, list(topics.items()))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["", "", "", "unsent", "unanswered", "cancelled", "forgets", "full", "room"]),
        st.dictionaries(st.sampled_from(PLACES), st.integers(0, 3)),
    ),
    max_size=12,
)


@given(STEPS)
def test_the_broker_fetches_what_is_wanted_whatever_gets_lost(steps):
    broker = Broker()
    sessions = FetchSessions(broker.send)

    async def work() -> None:
        for fault, wanted in steps:
            if fault == "forgets":
                broker.sessions.clear()
            elif fault in ("full", "room"):
                broker.full = fault == "full"
            else:
                broker.fault = fault
            try:
                answer = await sessions.send(1, request(wanted))
            except (KafkaConnectionError, asyncio.CancelledError):
                continue
            assert answer.error_code == 0
            assert answer.fetched == wanted

    asyncio.run(work())


async def test_names_only_what_is_new():
    broker = Broker()
    sessions = FetchSessions(broker.send)
    wanted = dict.fromkeys(PLACES, 5)
    await sessions.send(1, request(wanted))
    await sessions.send(1, request(wanted))
    await sessions.send(1, request(wanted | {PLACES[1]: 6}))
    del wanted[PLACES[2]]
    await sessions.send(1, request(wanted | {PLACES[1]: 6}))
    first, second, third, fourth = broker.told
    assert sum(len(parts) for _, parts in first.topics) == len(PLACES)
    assert second.topics == []
    assert third.topics == [("chat.events", [(1, -1, 6, -1, KIB)])]
    assert (fourth.topics, fourth.forgotten_topics_data) == ([], [("guild.events", [0])])


async def test_each_broker_has_a_session_of_its_own():
    broker = Broker()
    sessions = FetchSessions(broker.send)
    await sessions.send(1, request({PLACES[0]: 1}))
    await sessions.send(2, request({PLACES[1]: 1}))
    answer = await sessions.send(1, request({PLACES[0]: 1}))
    assert answer.fetched == {PLACES[0]: 1}
    assert broker.told[-1].topics == []


async def test_an_error_of_a_first_fetch_is_passed_on():
    async def send(node_id: int, request: Any) -> Any:
        return SimpleNamespace(API_VERSION=11, error_code=SESSION_UNKNOWN, session_id=0)

    answer = await FetchSessions(send).send(1, request({PLACES[0]: 1}))
    assert answer.error_code == SESSION_UNKNOWN


async def test_an_old_broker_is_asked_for_everything():
    told = []

    async def send(node_id: int, request: Any) -> Any:
        told.append(request.prepare({FetchRequest.API_KEY: (0, 4)}))
        return SimpleNamespace(API_VERSION=4)

    sessions = FetchSessions(send)
    for _ in range(2):
        await sessions.send(1, request({PLACES[0]: 1}))
    assert [one.topics for one in told] == [[("chat.events", [(0, 1, KIB)])]] * 2


@pytest.mark.parametrize("options", [{}, {"group": 1}])
async def test_other_requests_pass(options):
    seen = []

    async def send(node_id: int, request: Any, **options: Any) -> str:
        seen.append((node_id, request, options))
        return "answer"

    assert await FetchSessions(send).send(3, "metadata", **options) == "answer"
    assert seen == [(3, "metadata", options)]
