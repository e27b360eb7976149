"""Children as a group: started together, watched, stopped in order."""

import asyncio
from collections.abc import Callable

from fanfare.embedded.child import Child, Spec
from fanfare.embedded.output import Output

__all__ = ["Supervisor"]

GATEWAY = "gateway"
STORES = ("kafka", "redis", "postgres")


class Supervisor:
    """Owns every child and its task."""

    def __init__(self, output: Output, changed: Callable[[], None]) -> None:
        self.children: list[Child] = []
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        self._output = output
        self._changed = changed

    def start(self, spec: Spec) -> Child:
        """Start a process and keep it running."""
        child = Child(spec, self._output, self._changed)
        self.children.append(child)
        self._tasks[child] = asyncio.create_task(child.run(), name=spec.name)
        return child

    async def remove(self, child: Child) -> None:
        """Stop a process for good; returns when it is gone."""
        await child.stop()
        await asyncio.gather(self._tasks.pop(child), return_exceptions=True)
        self.children.remove(child)
        self._changed()

    async def start_ready(self, specs: list[Spec], timeout_s: float) -> None:
        """Start processes and wait until each has been ready.

        Raises:
            UpError: one keeps dying or is not ready in time.

        """
        children = [self.start(spec) for spec in specs]
        waits = [asyncio.create_task(child.wait_ready(timeout_s)) for child in children]
        try:
            await asyncio.gather(*waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def stop(self) -> None:
        """Stop gateways, then workers, then stores; returns when all are gone."""
        for group in stop_order(self.children):
            await asyncio.gather(*(child.stop() for child in group))
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def reload(self) -> None:
        """Let the services read their certificates again. Stores are left alone."""
        for child in self.children:
            if child.spec.role not in STORES:
                child.reload()

    def kill(self) -> None:
        """Kill everything at once."""
        for child in self.children:
            child.kill()


def stop_order(children: list[Child]) -> list[list[Child]]:
    """Gateways first, so that their clients move on while all else still works; stores last."""
    gateways = [child for child in children if child.spec.role == GATEWAY]
    stores = [child for child in children if child.spec.role in STORES]
    workers = [child for child in children if child not in gateways and child not in stores]
    return [group for group in (gateways, workers, stores) if group]
