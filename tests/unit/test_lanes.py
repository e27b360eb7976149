"""What waits for Kafka: the bound, the breaker, and what waits for too long."""

import asyncio

import pytest

from fanfare.bus.lanes import Item, Lanes, Raw
from fanfare.constants import BREAKER_S

RECORD = Raw((), bytes(1000), b"")


@pytest.fixture
async def put():
    """Lanes that take three records, and what puts one into them."""
    lanes = Lanes(3 * RECORD.size)

    def put(partition, now):
        lane = lanes.get("t", partition) or lanes.open("t", "prefix.t", partition)
        item = Item([RECORD], asyncio.get_running_loop().create_future(), now)
        assert lanes.refusal(lane, item.size, now) == ""
        lanes.put(lane, item)
        return lane, item

    put.lanes = lanes
    return put


async def test_what_is_settled_makes_room(put):
    lane, first = put(0, 1.0)
    put(0, 1.0)
    put(1, 1.0)
    assert put.lanes.bytes == 3 * RECORD.size
    assert "bytes wait" in put.lanes.refusal(lane, RECORD.size, 1.0)
    put.lanes.settled(lane, first, 1.0)
    put(1, 1.0)


async def test_more_than_the_bound_is_taken_where_nothing_waits(put):
    """Otherwise it never would be."""
    lane = put.lanes.open("t", "prefix.t", 0)
    assert put.lanes.refusal(lane, 4 * RECORD.size, 1.0) == ""
    put(1, 1.0)
    assert put.lanes.refusal(lane, 4 * RECORD.size, 1.0)


async def test_the_breaker_is_of_all_and_of_each_partition(put):
    """A leader that is away keeps only its partitions; while others get on, theirs are taken."""
    away, _ = put(0, 0.0)
    other, item = put(1, BREAKER_S)
    assert not put.lanes.stalled(BREAKER_S)
    assert put.lanes.stalled(BREAKER_S + 1)
    put.lanes.settled(other, item, BREAKER_S + 1)
    assert not put.lanes.stalled(BREAKER_S + 1)
    assert put.lanes.refusal(other, 1, BREAKER_S + 1) == ""
    assert "nothing was acknowledged" in put.lanes.refusal(away, 1, BREAKER_S + 1)


async def test_a_partition_that_is_overdue_is_named_as_in_kafka(put):
    put(3, 0.0)
    lane, item = put(4, 0.0)
    assert put.lanes.overdue(10.0) == set()
    put.lanes.settled(lane, item, 10.0)
    assert put.lanes.overdue(10.1) == {("prefix.t", 3)}


async def test_a_lane_whose_pause_was_long_is_not_overdue(put):
    lane, item = put(0, 0.0)
    put.lanes.settled(lane, item, 0.1)
    assert put.lanes.overdue(100.0) == set()
    put(0, 100.0)
    assert put.lanes.overdue(101.0) == set()
    assert not put.lanes.stalled(101.0)
    assert [one.partition for one in put.lanes] == [0]
