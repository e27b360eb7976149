"""Services that run as pods do: processes of our own behind a service that leads clients to those that are ready.

`fanfare up` brings the stores only. A pod has settings and code of its own, so that versions can be mixed, and stops
as kubelet stops it: SIGTERM, and SIGKILL after its grace. The service learns late that a pod is not ready any more,
as it does where endpoints are passed on through a cluster.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from typing_extensions import override

from fanfare.embedded.child import launch_command
from fanfare.embedded.ports import free_port
from torture.proxy import Proxies
from torture.system import BadSystemError, Node, Process, Scale, System

__all__ = ["Cluster", "Pod"]

_HOST: Final = "127.0.0.1"
_ROLES: Final = ("fanout", "notifier", "archiver", "gateway")
_READY_S: Final = 60.0
_LAST_GRACE_S: Final = 30.0


@dataclass(frozen=True)
class Pod:
    """One process of a service."""

    name: str
    role: str
    child: asyncio.subprocess.Process
    internal: str

    @property
    def seen(self) -> Process:
        """As a supervisor would tell of it."""
        state = "running" if self.child.returncode is None else "stopped"
        return Process(self.name, self.role, self.child.pid, state, self.internal, "")


class Cluster(System):
    """Stores, pods, and the service in front of the gateways."""

    def __init__(
        self,
        folder: Path,
        scale: Scale,
        *,
        code: Path,
        settings: Mapping[str, str] | None = None,
        notice_s: float = 0.0,
    ) -> None:
        """Prepare.

        Args:
            folder: where everything is kept; must exist.
            scale: how many pods of each role.
            code: the tree that the stores and the next pods are started from; may be replaced.
            settings: further ones of the pods, by the names of their variables.
            notice_s: how late the service learns that a pod is not ready any more.

        """
        super().__init__(folder, scale)
        self.code = code
        self._variables = dict(settings or {})
        self._notice_s = notice_s
        self._public = {"gateway": free_port(), "api": free_port()}
        self._front = Proxies([(port, port) for port in self._public.values()])
        self._known: dict[str, Node] = {}
        """Gateways that the service leads to."""
        self._led: dict[str, list[int]] = {}
        self._last: dict[str, float] = {}
        """When each gateway was seen to be ready last."""
        self._pods: dict[str, Pod] = {}
        self._count = 0

    @property
    @override
    def environment(self) -> dict[str, str]:
        return super().environment | {"PYTHONPATH": str(self.code)}

    @override
    async def _bring_up(self, *options: str) -> None:
        await super()._bring_up("--stores-only")
        self.run["gateway"] = f"ws://{_HOST}:{self._public['gateway']}/gateway/"
        self.run["api"] = f"http://{_HOST}:{self._public['api']}/api/v10"
        await self._front.__aenter__()
        for role in _ROLES:
            for _ in range(getattr(self.scale, role)):
                await self.start(role)
        await self.ready()

    @override
    async def _stop(self) -> None:
        # One that does not want to stop is killed; a run that is over is not about that.
        for role in reversed(_ROLES):
            stops = (self.stop(pod.name, _LAST_GRACE_S) for pod in self.pods(role))
            await asyncio.gather(*stops, return_exceptions=True)
        await self._front.__aexit__()
        await super()._stop()

    # Pods

    def pods(self, role: str) -> list[Pod]:
        """Those of a role, the oldest first."""
        return [pod for pod in self._pods.values() if pod.role == role]

    @property
    def variables(self) -> dict[str, str]:
        """What pods and jobs are told of stores and secret."""
        told = {f"FANFARE_{name.upper()}": self.run[name] for name in ("kafka", "redis", "postgres")}
        return self._variables | told | {"FANFARE_SECRET": self.settings.secret.get_secret_value()}

    async def start(self, role: str) -> str:
        """Start another pod from the code as it is now; its name."""
        self._count += 1
        name, port = f"{role}.{self._count}", free_port()
        more = {
            "FANFARE_PROCESS": name,
            "FANFARE_INTERNAL_PORT": str(port),
            "FANFARE_PUBLIC_URL": self.run["gateway"],
            "PYTHONUNBUFFERED": "1",
        }
        with (self.data.logs / f"{name}.log").open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *launch_command("same", [sys.executable, "-m", role]),
                cwd=self.folder,
                env=self.environment | self.variables | more,
                stdout=log,
                stderr=log,
            )
        self._pods[name] = Pod(name, role, child, f"http://{_HOST}:{port}")
        return name

    async def stop(self, name: str, grace_s: float) -> None:
        """SIGTERM. Raises: BadSystemError: it has to be killed after its grace, or ends with an error."""
        child = self._pods[name].child
        with suppress(ProcessLookupError):
            child.terminate()
        try:
            code = await asyncio.wait_for(child.wait(), grace_s)
        except TimeoutError:
            child.kill()
            await child.wait()
            raise BadSystemError(f"{name} was killed: it did not stop within {grace_s:.0f} s") from None
        finally:
            del self._pods[name]
        if code:
            raise BadSystemError(f"{name} ended with {code} when it was told to stop")

    async def job(self, *words: str) -> str:
        """`fanfare WORDS` from the code as it is now, on these stores. Raises: BadSystemError: it failed."""
        return await self.command(*words, **self.variables)

    @override
    def processes(self) -> dict[str, Process]:
        return super().processes() | {name: pod.seen for name, pod in self._pods.items()}

    # The service

    @override
    async def _look_for_nodes(self) -> None:
        await super()._look_for_nodes()
        now = time.monotonic()
        self._last |= dict.fromkeys(self.nodes, now)
        self._known = {
            name: node
            for name, node in (self._known | self.nodes).items()
            if name in self._pods and now - self._last[name] <= self._notice_s
        }
        led = {
            "gateway": [_port(node.gateway) for node in self._known.values()],
            "api": [_port(node.api) for node in self._known.values()],
        }
        for what, targets in led.items():
            if targets and targets != self._led.get(what):
                self._front.lead(self._public[what], *targets)
        self._led = led


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
