"""A gateway of a test's own, beside those of a running stack."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fanfare import probe
from tests.integration.store_fixtures import eventually
from tests.stack import clean_environment
from tests.world import Node


def free_port() -> int:
    """A port that was free just now."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        port: int = own.getsockname()[1]
        return port


@asynccontextmanager
async def own_gateway(folder: Path, **settings: str) -> AsyncIterator[Node]:
    """`python -m gateway` with these settings, from ready to stopped."""
    internal = f"http://127.0.0.1:{(port := free_port())}"
    ports = {name: str(free_port()) for name in ("rest_port", "gateway_port")}
    environment = clean_environment(folder, internal_port=str(port), drain_s="0.1", **(ports | settings))
    logs = folder / "gateway.log"
    with logs.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stdout=log, stderr=log
        )
    try:

        async def ready() -> bool:
            assert process.returncode is None, logs.read_text()
            answer = await probe.get(f"{internal}/readyz")
            return answer is not None and answer[0] == 200

        await eventually(ready)
        said = await probe.get_json(f"{internal}/status") or {}
        yield Node("gateway", process.pid, said["address"], said["api"], internal)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)
