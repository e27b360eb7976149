"""Answers by the control socket where a message has been on its way: in the log, behind the fan-out, and in inboxes."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from fanfare.constants import S_EPOCH_MS, S_SHIFT
from fanfare.embedded.control import Handlers
from fanfare.embedded.errors import UpError
from fanfare.ids import MAX_ID, snowflake_ms
from fanfare.settings import Settings

if TYPE_CHECKING:
    from fanfare.bus.batches import Incoming

__all__ = ["Follow"]

# The brokers' clocks may be behind.
_BEFORE_MS: Final = 2000
_INBOX_ENTRIES: Final = 5000


class Follow:
    """Follows messages, one at a time."""

    def __init__(self, settings: Settings) -> None:
        """Args: settings: with the addresses of the stores."""
        self._settings = settings

    @property
    def handlers(self) -> Handlers:
        """What the control socket is to answer."""
        return {"follow": self.follow}

    async def follow(self, request: dict[str, Any]) -> Any:
        """Where a message has been; what is not found is null. Args: request: `message`, its id."""
        from fanfare.bus.errors import KafkaError  # noqa: PLC0415 - slow to import
        from fanfare.bus.topics import CHAT_DELIVERIES, CHAT_EVENTS  # noqa: PLC0415
        from fanfare.presence.errors import RedisError  # noqa: PLC0415

        said = str(request.get("message", ""))
        if not said.isdecimal() or not 0 < int(said) <= MAX_ID:
            raise UpError("say `message`, the id of one")
        message = int(said)
        try:
            log = await self._in(CHAT_EVENTS, message)
            delivery = await self._in(CHAT_DELIVERIES, message)
            inboxes = await self._inboxes(message, delivery) if delivery is not None else []
        except (KafkaError, RedisError, OSError) as error:
            raise UpError(f"a store does not answer: {error}") from None
        return {"log": _shown(log), "delivery": _shown(delivery), "inboxes": inboxes}

    async def _in(self, topic: str, message: int) -> "Incoming | None":
        from fanfare.bus.read_since import read_since  # noqa: PLC0415

        found = None
        async for batch in read_since(self._settings, topic, snowflake_ms(message) - _BEFORE_MS):
            found = found or next((one for one in batch if one.record.id == message), None)
        return found

    async def _inboxes(self, message: int, delivery: "Incoming") -> list[dict[str, Any]]:
        from fanfare.presence import inboxes, keys  # noqa: PLC0415
        from fanfare.presence.client import connect  # noqa: PLC0415

        record = delivery.record
        first = (snowflake_ms(message) - _BEFORE_MS - S_EPOCH_MS) << S_SHIFT
        found = []
        async with aclosing(connect(self._settings, client_name="fanfare-follow")) as redis:
            names: set[str] = set()
            if record.guild:
                nodes: Any = await redis.hkeys(keys.guild_nodes(record.guild))
                names |= {name.decode() for name in nodes}
            for user in record.users:
                sessions: Any = await redis.hkeys(keys.user_sessions(user))
                names |= {name.decode().rpartition("@")[2] for name in sessions}
            for name in sorted(names):
                for entry in await inboxes.read_between(redis, name, first, None, count=_INBOX_ENTRIES):
                    if entry.record is not None and entry.record.id == message:
                        at_ms = (entry.s >> S_SHIFT) + S_EPOCH_MS
                        found.append({"inbox": name, "s": str(entry.s), "at_ms": at_ms})
        return found


def _shown(incoming: "Incoming | None") -> dict[str, Any] | None:
    if incoming is None:
        return None
    return {
        "partition": incoming.record.position.partition,
        "offset": incoming.offset,
        "at_ms": incoming.appended_ms,
    }
