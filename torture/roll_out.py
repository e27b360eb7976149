"""A roll-out under load, step by step as Kubernetes does it: the jobs, then each Deployment.

New pods come first, as many as the surge allows, and have to stay ready for a while; then as many old ones are told to
stop, and the next new ones start while those still drain.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import override

from torture.faults.base import Context, Fault
from torture.pods import Cluster
from torture.system import BadSystemError

__all__ = ["Deployment", "RollOut", "Version"]

_READY_S: Final = 60.0


@dataclass(frozen=True)
class Deployment:
    """How the pods of a role are replaced."""

    role: str
    surge: int
    """New pods that may come before old ones go."""
    min_ready_s: float
    """A new pod has to be ready for so long before an old one goes."""
    grace_s: float
    """An old one is killed after so long."""


@dataclass(frozen=True)
class Version:
    """What is rolled out."""

    name: str
    code: Path
    jobs: bool = True
    """Whether tables and topics are brought to it first, as by `kubectl apply`; not so by `rollout undo`."""


class RollOut(Fault):
    """Each version in turn takes the place of the one before."""

    name = "roll-out"
    aim_s = 0.3
    mixes = False

    def __init__(self, deployments: Sequence[Deployment], versions: Sequence[Version]) -> None:
        self._deployments = deployments
        self._versions = versions

    @override
    async def run(self, context: Context) -> None:
        cluster = context.system
        assert isinstance(cluster, Cluster)
        for version in self._versions:
            cluster.code = version.code
            if version.jobs:
                await self._jobs(context, cluster, version)
            for deployment in self._deployments:
                await self._roll(context, cluster, deployment, version)

    async def _jobs(self, context: Context, cluster: Cluster, version: Version) -> None:
        """Twice at once: that is what they have to bear."""
        times = context.begin(self, f"{version.name}: jobs")
        for words in (("migrate",), ("topics", "create")):
            await asyncio.gather(cluster.job(*words), cluster.job(*words))
        times.observed = times.healed = time.monotonic()

    async def _roll(
        self, context: Context, cluster: Cluster, deployment: Deployment, version: Version
    ) -> None:
        old = [pod.name for pod in cluster.pods(deployment.role)]
        leaving = []
        for first in range(0, len(old), deployment.surge):
            batch = old[first : first + deployment.surge]
            times = context.begin(self, f"{version.name}: {len(batch)} {deployment.role} more")
            fresh = [await cluster.start(deployment.role) for _ in batch]
            await cluster.ready(*fresh, within_s=_READY_S)
            times.observed = time.monotonic()
            await asyncio.sleep(deployment.min_ready_s)
            await cluster.ready(*fresh, within_s=0)
            times.healed = time.monotonic()
            leaving += [
                asyncio.create_task(self._leave(context, cluster, name, deployment.grace_s, version))
                for name in batch
            ]
        failed = [one for one in await asyncio.gather(*leaving, return_exceptions=True) if one is not None]
        if failed:
            raise BadSystemError("; ".join(map(str, failed)))

    async def _leave(
        self, context: Context, cluster: Cluster, name: str, grace_s: float, version: Version
    ) -> None:
        times = context.begin(self, f"{version.name}: {name} leaves")
        await cluster.stop(name, grace_s)
        times.observed = times.healed = time.monotonic()
