"""Procfile, scale, and what a service is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.ports import listen
from fanfare.embedded.services import Addresses, Services, Sockets, parse_scale, read_procfile
from fanfare.settings import Settings

ROLES = ["gateway", "fanout"]


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets(
        listen("FANFARE_REST_PORT", "127.0.0.1", 0), listen("FANFARE_GATEWAY_PORT", "127.0.0.1", 0)
    )
    yield made
    made.close()


def test_one_of_each_unless_told() -> None:
    assert parse_scale("", ROLES) == {"gateway": 1, "fanout": 1}
    assert parse_scale("gateway=2, fanout=0", ROLES) == {"gateway": 2, "fanout": 0}


@pytest.mark.parametrize("text", ["gatway=2", "gateway", "gateway=two", "gateway=-1", "gateway=1000"])
def test_a_scale_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UpError, match="--scale"):
        parse_scale(text, ROLES)


def test_the_procfile_of_the_repository_is_read() -> None:
    commands = read_procfile(Path(__file__).parents[2] / "Procfile")
    assert commands["gateway"] == ["python", "-m", "gateway"]
    assert list(commands) == ["gateway", "fanout", "notifier", "archiver"]


@pytest.mark.parametrize("text", ["gateway python -m gateway", "gateway: 'python", "a: b\na: c"])
def test_a_broken_procfile_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Procfile"
    path.write_text(text)
    with pytest.raises(UpError, match="Procfile"):
        read_procfile(path)


def test_what_services_are_told(tmp_path: Path, sockets: Sockets) -> None:
    settings = Settings(internal_port=0)
    addresses = Addresses("kafka:9092", "redis://r", "postgresql://p", "secret")
    services = Services(
        settings=settings,
        folder=DataFolder(tmp_path),
        addresses=addresses,
        sockets=sockets,
        commands={"gateway": ["python", "-m", "gateway"], "fanout": ["python", "-m", "fanout"]},
    )
    specs = services.all({"gateway": 2, "fanout": 1})
    assert [spec.name for spec in specs] == ["gateway.1", "gateway.2", "fanout.1"]
    gateway, _, fanout = specs
    assert gateway.env["FANFARE_PROCESS"] == "gateway.1"
    assert gateway.env["FANFARE_KAFKA"] == "kafka:9092"
    assert gateway.env["FANFARE_PUBLIC_URL"] == f"ws://127.0.0.1:{sockets.gateway_port}/gateway/"
    assert gateway.env["FANFARE_REST_FD"] == str(sockets.rest.fileno())
    assert gateway.pass_fds == (sockets.rest.fileno(), sockets.gateway.fileno())
    assert "FANFARE_REST_FD" not in fanout.env
    assert fanout.pass_fds == ()
    assert len({spec.internal for spec in specs}) == 3
    assert gateway.stop_s > settings.drain_s
