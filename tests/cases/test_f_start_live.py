"""F1 and F2 on running processes: service links, IPv6, and addresses that no client can use."""

import subprocess
import sys
from pathlib import Path

import pytest

from fanfare import probe
from fanfare.embedded.ports import free_port
from tests.integration.store_fixtures import eventually
from tests.stack import Stack, clean_environment
from tests.unit.test_f_settings import LINKS
from torture.client import Client, Rest, Session


def given(stores: Stack) -> dict[str, str]:
    """Settings of an installation of its own on shared stores."""
    found = {name.removeprefix("FANFARE_").lower(): value for name, value in stores.store_settings().items()}
    return found | {"prefix": "start", "secret": "a secret of thirty-two characters and more"}


def start(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A notifier."""
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "notifier"], env=environment, stdout=file, stderr=file)


async def test_f1_a_process_starts_among_service_links_and_says_what_it_left_out(stores, tmp_path):
    port = free_port()
    environment = clean_environment(tmp_path, **given(stores)) | LINKS | {"FANFARE_INTERNAL_PORT": str(port)}
    log = tmp_path / "notifier.log"
    process = start(environment, log)

    async def answers() -> bool:
        return process.poll() is not None or await probe.get(f"http://127.0.0.1:{port}/readyz") is not None

    try:
        await eventually(answers)
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert "enableServiceLinks" in log.read_text()


@pytest.fixture(scope="module")
def six(stores, tmp_path_factory):
    """Everything of ours on ::1."""
    stack = Stack(
        tmp_path_factory.mktemp("six"), settings=given(stores) | {"host": "::1", "internal_host": "::1"}
    )
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


async def test_f2_on_an_ipv6_address_everything_works_and_urls_have_brackets(six):
    run = six.run
    assert run["gateway"].startswith("ws://[::1]:")
    assert run["api"].startswith("http://[::1]:")
    status = six.status()
    assert status["ready"]
    for process in status["processes"]:
        assert "://::1" not in process["internal"] + process["address"]
    gateway = six.process("gateway.1")
    assert gateway["internal"].startswith("http://[::1]:")
    async with await Client.connect(gateway["address"], Session(run["users"]["bob"]["token"])) as bob:
        await bob.start()
        async with Rest(run["api"], run["users"]["alice"]["token"]) as alice:
            assert (await alice.request("GET", "/gateway"))["url"] == run["gateway"]
            await alice.send(run["channel_id"], "over IPv6")
        assert (await bob.until("MESSAGE_CREATE")).d["content"] == "over IPv6"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_f2_fanfare_up_asks_for_a_public_url(stores, tmp_path, host):
    stack = Stack(tmp_path, settings=given(stores) | {"host": host})
    done = stack.command("up", "--detach", check=False)
    stack.stop()
    assert done.returncode == 1
    assert "FANFARE_PUBLIC_URL" in done.stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"host": "0.0.0.0", "gateway_port": "1"}, "FANFARE_PUBLIC_URL"),
        ({"gateway_port": "0"}, "FANFARE_GATEWAY_PORT is 0"),
        ({"public_url": "ws://[::]:1/"}, "no client can connect"),
    ],
)
def test_f2_a_gateway_that_clients_would_not_find_does_not_start(stores, tmp_path: Path, settings, says):
    done = subprocess.run(
        [sys.executable, "-m", "gateway"],
        env=clean_environment(tmp_path, **given(stores) | {"internal_port": "0"} | settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr
