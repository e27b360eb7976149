"""Broken requests through every door; a million of them by `make fuzz`."""

import pytest

from gateway.protocol.codes import FIRST_OWN_OP, Op
from tests.fuzz.doors import BODIES, OPS, REST
from tests.fuzz.run import attack

CASES = 20_000
# What the server sends.
NOT_CLIENTS = {Op.DISPATCH, Op.RECONNECT, Op.INVALID_SESSION, Op.HELLO, Op.HEARTBEAT_ACK, Op.SENT}


def test_every_door_is_tried():
    reading = {door for door in REST if door[0] in {"POST", "PUT", "PATCH"}}
    assert reading == BODIES.keys(), "say in tests/fuzz/doors.py what a good body is"
    assert {int(op) for op in Op if op not in NOT_CLIENTS} == OPS.keys()
    assert FIRST_OWN_OP in OPS


@pytest.mark.timeout(600)
def test_broken_requests_are_refused_and_leave_nothing_behind(stack):
    counts = attack(stack, CASES)
    assert counts.total() >= CASES
