"""A gateway process of a test's own, with its own settings, on the stores and beside the services of a stack."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import trustme

from fanfare import probe
from fanfare.embedded.ports import reserve
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import Node

STOPPED_S = 60


@dataclass
class Extra:
    """A running gateway."""

    node: Node
    process: asyncio.subprocess.Process

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.node.internal}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def memory_mb(self, what: str) -> float:
        """VmRSS, what it has now, or VmHWM, the most that it ever had."""
        text = Path(f"/proc/{self.node.pid}/status").read_text("ascii")
        return int(text.partition(f"{what}:")[2].split()[0]) / 1024


@dataclass(frozen=True)
class Certificate:
    """Of an authority that only this test knows."""

    folder: Path
    authority: trustme.CA

    @classmethod
    def made_in(cls, folder: Path) -> "Certificate":
        """For 127.0.0.1."""
        made = cls(folder, trustme.CA())
        issued = made.authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        (folder / "key.pem").chmod(0o600)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(folder / "cert.pem", append=number > 0)
        made.authority.cert_pem.write_to_path(folder / "ca.pem")
        return made

    @property
    def settings(self) -> dict[str, str]:
        """For the gateway."""
        return {
            "FANFARE_TLS_CERT": str(self.folder / "cert.pem"),
            "FANFARE_TLS_KEY": str(self.folder / "key.pem"),
        }

    def context(self) -> ssl.SSLContext:
        """For clients."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@asynccontextmanager
async def extra_gateway(stack: Stack, name: str, **settings: str) -> AsyncIterator[Extra]:
    """Start one, wait until it is ready; ended after the test. `settings` are whole names of variables."""
    port = reserve("FANFARE_INTERNAL_PORT", 0, "127.0.0.1")
    environment = stack.environment | stack.store_settings() | settings
    environment |= {
        "FANFARE_PROCESS": name,
        "FANFARE_INTERNAL_PORT": str(port),
        "FANFARE_PUBLIC_URL": f"{'wss' if 'FANFARE_TLS_CERT' in settings else 'ws'}://127.0.0.1:1/gateway/",
    }
    with (stack.home / "logs" / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, cwd=stack.folder, stdout=log, stderr=log
        )
    try:
        internal = f"http://127.0.0.1:{port}"

        async def ready() -> bool:
            assert process.returncode is None, stack.logs()
            answer = await probe.get(f"{internal}/readyz")
            return answer is not None and answer[0] == 200

        await eventually(ready)
        said = await probe.get_json(f"{internal}/status")
        assert said is not None
        yield Extra(Node(name, process.pid, said["address"], said["api"], internal), process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
