"""The tables of opcodes and close codes against Discord's documentation, version 10."""

import pytest

from gateway.protocol.codes import FIRST_OWN_OP, CloseCode, Op

DOCUMENTED_OPS = {
    0: "DISPATCH",
    1: "HEARTBEAT",
    2: "IDENTIFY",
    3: "PRESENCE_UPDATE",
    4: "VOICE_STATE_UPDATE",
    6: "RESUME",
    7: "RECONNECT",
    8: "REQUEST_GUILD_MEMBERS",
    9: "INVALID_SESSION",
    10: "HELLO",
    11: "HEARTBEAT_ACK",
    31: "REQUEST_SOUNDBOARD_SOUNDS",
    43: "REQUEST_CHANNEL_INFO",
}
# Code: (name, whether the client may resume). 1xxx are RFC 6455's.
DOCUMENTED_CODES = {
    1001: ("GOING_AWAY", True),
    1009: ("MESSAGE_TOO_BIG", False),
    1012: ("SERVICE_RESTART", True),
    4000: ("UNKNOWN_ERROR", True),
    4001: ("UNKNOWN_OPCODE", True),
    4002: ("DECODE_ERROR", True),
    4003: ("NOT_AUTHENTICATED", False),
    4004: ("AUTHENTICATION_FAILED", False),
    4005: ("ALREADY_AUTHENTICATED", False),
    4008: ("RATE_LIMITED", True),
    4009: ("SESSION_TIMED_OUT", True),
    4010: ("INVALID_SHARD", False),
    4011: ("SHARDING_REQUIRED", False),
    4012: ("INVALID_API_VERSION", False),
    4013: ("INVALID_INTENTS", False),
    4014: ("DISALLOWED_INTENTS", False),
}


def test_opcodes_are_the_documented_ones_and_our_own():
    assert {int(op): op.name for op in Op if op < FIRST_OWN_OP} == DOCUMENTED_OPS
    assert {int(op): op.name for op in Op if op >= FIRST_OWN_OP} == {
        128: "SEND",
        129: "SENT",
        130: "LOCATE",
        131: "WATCH",
    }


def test_close_codes_are_the_documented_ones():
    assert {int(code): (code.name, code.resumable) for code in CloseCode} == DOCUMENTED_CODES


@pytest.mark.parametrize("code", [1005, 1006, 1015, 4007])
def test_codes_that_must_not_be_sent(code):
    # 100x are reserved (RFC 6455, 7.4.1). 4007: libraries resume again with the same seq, for ever.
    assert code not in set(CloseCode)
