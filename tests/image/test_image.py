"""The image, built from the distribution's packages and run against real stores as Kubernetes runs it.

Without podman, buildah, runc, debootstrap and root it cannot be tried here, and says so.
"""

import asyncio
import json
import random
from collections.abc import Iterator

import pytest

from fanfare import probe
from fanfare.embedded.ports import free_port
from fanfare.service import FAILED_DRAIN_S
from tests.image.podman import BASE, IMAGE, ROOT, Podman, missing
from tests.integration.store_fixtures import eventually
from torture.client import Client, Rest, Session

pytestmark = [pytest.mark.system, pytest.mark.image, pytest.mark.timeout(1500)]
SERVICES = ("gateway", "fanout", "notifier", "archiver")
# Any user: nothing in the image belongs to one.
USER = random.Random(14).randrange(100_000, 2_000_000_000)


@pytest.fixture(scope="module")
def podman(tmp_path_factory) -> Iterator[Podman]:
    """Podman, with our image."""
    if lacking := missing():
        pytest.skip(f"THE IMAGE WAS NOT BUILT AND NOT RUN: this machine lacks {', '.join(lacking)}")
    made = Podman(tmp_path_factory.mktemp("podman"))
    try:
        if why := made.problem():
            pytest.skip(f"THE IMAGE WAS NOT BUILT AND NOT RUN: {why}")
        made.build()
        yield made
    finally:
        made.close()


class Containers:
    """Containers of our image, on this machine's network, with as few rights as a restricted pod."""

    def __init__(self, podman: Podman, stores, folder) -> None:
        self.podman = podman
        self._settings = stores.store_settings() | {
            "FANFARE_PUBLIC_URL": "ws://127.0.0.1:1/",
            "FANFARE_HOME": "/tmp/fanfare",
            "FANFARE_REST_PORT": "0",
            "FANFARE_GATEWAY_PORT": "0",
            "FANFARE_DRAIN_S": "1",
        }
        # As the profiles of container runtimes do by now; older ones allow it.
        calls = {"names": ["io_uring_setup", "io_uring_enter"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
        self._profile = folder / "seccomp.json"
        self._profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [calls]}))

    def options(self, port: int = 0) -> list[str]:
        """Of `podman run`."""
        variables = self._settings | {"FANFARE_INTERNAL_PORT": str(port)}
        return [
            "--pull=never", "--network=host", f"--user={USER}:{USER}", "--read-only", "--cap-drop=all",
            "--tmpfs=/tmp:size=64m", "--security-opt=no-new-privileges", f"--security-opt=seccomp={self._profile}",
            *(f"--env={name}={value}" for name, value in variables.items()),
        ]  # fmt: skip

    def command(self, *words: str) -> str:
        """`fanfare WORDS` in a container of its own."""
        return self.podman("run", "--rm", *self.options(), IMAGE, *words).stdout

    def start(self, role: str) -> str:
        """Start a service; its internal address."""
        port = free_port()
        self.podman("run", "--detach", f"--name={role}", *self.options(port), IMAGE, role)
        return f"http://127.0.0.1:{port}"


async def test_the_services_run_from_the_image_as_anybody_who_may_do_nothing(podman, stores, tmp_path):
    """A message from REST to a socket, through all four; jobs twice; io_uring forbidden, and said once; a quick end."""
    containers = Containers(podman, stores, tmp_path)
    for _ in range(2):
        assert "the tables are those of this version" in containers.command("migrate")
        assert "topics are there" in containers.command("topics", "create")
    internal = {role: containers.start(role) for role in SERVICES}
    try:

        async def ready() -> bool:
            said = await asyncio.gather(*(probe.get(f"{address}/readyz") for address in internal.values()))
            return all(answer is not None and answer[0] == 200 for answer in said)

        await eventually(ready, 120)
        for words in (("user", "create", "imogen"), ("user", "create", "ines")):
            await asyncio.to_thread(containers.command, *words)
        make = asyncio.to_thread(
            containers.command, "guild", "create", "Image", "--owner", "imogen", "--json"
        )
        assert await make
        await asyncio.to_thread(containers.command, "guild", "add", "Image", "ines")
        said = await asyncio.to_thread(containers.command, "channel", "create", "Image", "pier", "--json")
        channel = json.loads(said)["id"]
        tokens = [
            (await asyncio.to_thread(containers.command, "token", name)).strip()
            for name in ("imogen", "ines")
        ]
        status = await probe.get_json(f"{internal['gateway']}/status")
        assert status is not None
        async with await Client.connect(status["address"], Session(tokens[1])) as ines:
            await ines.start()
            async with Rest(status["api"], tokens[0]) as imogen:
                await imogen.send(channel, "out of a box", nonce="n1")
                assert (await ines.until("MESSAGE_CREATE")).d["content"] == "out of a box"
        logs = {role: podman("logs", role) for role in SERVICES}
        gateway = logs["gateway"].stdout + logs["gateway"].stderr
        assert gateway.count("no io_uring") == 1, gateway
        for role in SERVICES:
            grace = str(int(1 + FAILED_DRAIN_S))
            podman("stop", f"--time={grace}", role)
            state = json.loads(podman("inspect", role).stdout)[0]["State"]
            assert state["ExitCode"] == 0, (
                f"{role} was killed, or failed: {podman('logs', role).stderr[-2000:]}"
            )
    except BaseException:
        for role in SERVICES:
            print(f"--- {role}", podman("logs", "--tail=20", role, check=False))
        raise
    finally:
        podman("rm", "--force", "--time=1", *SERVICES, check=False)


def test_the_image_holds_the_pinned_requirements_and_nothing_to_install_with(podman):
    code = "import importlib.metadata as m; print(*sorted({d.name.lower() for d in m.distributions()}))"
    done = podman("run", "--rm", "--pull=never", "--network=none", "--entrypoint=python", IMAGE, "-c", code)
    lines = (ROOT / "requirements/image.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}
    found = {name.replace("_", "-").replace(".", "-") for name in done.stdout.split()}
    assert found == pinned | {"fanfare"}
    size = json.loads(podman("image", "inspect", IMAGE).stdout)[0]["Size"]
    base = json.loads(podman("image", "inspect", BASE).stdout)[0]["Size"]
    assert (size - base) < 160 * 1024 * 1024
