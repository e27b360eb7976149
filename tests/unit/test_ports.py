"""Ports: used as set, refused by the name of their setting."""

import pytest

from fanfare.embedded.errors import UpError
from fanfare.embedded.ports import free_port, listen, reserve


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(20)}) == 20


def test_a_busy_port_is_refused_with_the_name_of_its_setting() -> None:
    port = free_port()
    with listen("FANFARE_REST_PORT", "127.0.0.1", port):
        with pytest.raises(UpError, match=f"port {port} .* is in use: .* set FANFARE_KAFKA_PORT"):
            reserve("FANFARE_KAFKA_PORT", port)
        with pytest.raises(UpError, match="FANFARE_REST_PORT"):
            listen("FANFARE_REST_PORT", "127.0.0.1", port)
    assert reserve("FANFARE_KAFKA_PORT", port) == port


def test_zero_is_any_port() -> None:
    with listen("FANFARE_REST_PORT", "127.0.0.1", 0) as bound:
        assert bound.getsockname()[1] > 0
    assert reserve("FANFARE_KAFKA_PORT", 0) > 0


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(UpError, match="cannot listen on 192\\.0\\.2\\.1"):
        listen("FANFARE_REST_PORT", "192.0.2.1", 8080)
