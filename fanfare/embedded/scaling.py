"""Changes that a running `fanfare up` is asked for by its control socket: scaling and restarting.

What a change does to those who wait for deliveries is measured while it is under way (`waits`), and what a number of
processes means that is not obvious is told by name: members that get no partition, a role that is gone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fanfare.embedded.control import Handlers
from fanfare.embedded.errors import UpError
from fanfare.embedded.fleet import Change, Fleet
from fanfare.embedded.output import Output
from fanfare.settings import Settings

__all__ = ["Changes"]

# Without one of each of these nothing is delivered, so that nothing can be measured.
_ON_THE_WAY: Final = frozenset({"fanout", "notifier"})
_ANSWER_S: Final = 3.0


class Changes:
    """Makes changes, one at a time."""

    def __init__(self, settings: Settings, fleet: Fleet, output: Output) -> None:
        self._settings = settings
        self._fleet = fleet
        self._output = output

    @property
    def handlers(self) -> Handlers:
        """What the control socket is to answer."""
        return {"scale": self.scale, "restart": self.restart}

    async def scale(self, request: dict[str, Any]) -> Any:
        """`{"wanted": {ROLE: NUMBER}, "probe": BOOL}`: what changed, and how long deliveries waited meanwhile.

        Raises:
            UpError: a role or number cannot be, another change is under way, a process does not get ready, or a store
                that this needs does not answer; then nothing was changed.

        """
        wanted = {str(role): int(count) for role, count in request["wanted"].items()}
        self._fleet.check(wanted)
        said = ", ".join(f"{role}={count}" for role, count in wanted.items())
        self._output.say(f"asked for {said}")
        if all(self._fleet.count(role) == count for role, count in wanted.items()):
            changes = await self._fleet.scale(wanted)
            gap_s = 0.0 if request.get("probe", True) else None
            return {"changes": [await self._described(one) for one in changes], "gap_s": gap_s, "missing": 0}
        await self._kafka_answers()
        async with self._measured(request.get("probe", True) and not self._gone(wanted)) as waits:
            changes = await self._fleet.scale(wanted)
        return {"changes": [await self._described(change) for change in changes], **waits}

    async def restart(self, request: dict[str, Any]) -> Any:
        """`{"what": NAME or ROLE}`: what was restarted, and how long deliveries waited meanwhile.

        Raises:
            UpError: there is none, another change is under way, one does not get ready, or a store that this needs
                does not answer.

        """
        self._output.say(f"asked to restart {request['what']}")
        await self._kafka_answers()
        async with self._measured(not self._gone({})) as waits:
            names = await self._fleet.restart(str(request["what"]))
        return {"restarted": names, **waits}

    def _gone(self, wanted: dict[str, int]) -> bool:
        """Whether a role is or will be at 0 without which nothing is delivered."""
        roles = _ON_THE_WAY & set(self._fleet.roles)
        return any(min(self._fleet.count(role), wanted.get(role, 1)) == 0 for role in roles)

    async def _described(self, change: Change) -> dict[str, Any]:
        topic, idle = await self._idle(change.role) if change.started else ("", [])
        return change.describe() | {"idle": idle, "topic": topic}

    async def _idle(self, role: str) -> tuple[str, list[str]]:
        """The largest topic of a role's group, and the members that have no partition of it."""
        from fanfare.bus.client import KafkaAwayError  # noqa: PLC0415 - slow to import
        from fanfare.bus.groups import describe_groups  # noqa: PLC0415

        try:
            group = (await describe_groups(self._settings)).get(role)
        except KafkaAwayError:
            group = None
        if group is None:  # a gateway has no group
            return "", []
        topics = [key.rpartition("/")[0] for key in group["partitions"]]
        largest = max(topics, key=topics.count, default="")
        busy = {
            part["member"] for key, part in group["partitions"].items() if key.rpartition("/")[0] == largest
        }
        return largest, [member["client"] for member in group["members"] if member["client"] not in busy]

    async def _kafka_answers(self) -> None:
        """Look whether Kafka is there: without it no process that is started gets ready.

        Raises:
            UpError: it is not.

        """
        from fanfare.bus.client import KafkaAwayError, admin  # noqa: PLC0415 - slow to import

        try:
            async with asyncio.timeout(_ANSWER_S), admin(self._settings):
                pass
        except (KafkaAwayError, TimeoutError):
            raise UpError(
                f"Kafka does not answer at {self._settings.kafka}, so nothing was changed: try again when it is back"
            ) from None

    @asynccontextmanager
    async def _measured(self, wanted: bool) -> AsyncIterator[dict[str, Any]]:
        """How long deliveries waited during the block, in `gap_s`, filled in at its end; None: it was not measured."""
        found: dict[str, Any] = {"gap_s": None, "missing": 0}
        if not wanted:
            yield found
            return
        from fanfare.embedded.waits import Waits  # noqa: PLC0415 - slow to import
        from fanfare.presence.errors import RedisError  # noqa: PLC0415

        waits = Waits(self._settings)
        try:
            await waits.__aenter__()
        except (RedisError, OSError) as error:
            raise UpError(
                f"Redis does not answer, so nothing was changed ({error}): --no-probe needs none"
            ) from None
        try:
            yield found
        finally:
            await waits.__aexit__()
            found |= {"gap_s": round(waits.longest_s, 3), "missing": waits.missing}
