"""Answers by the control socket what `fanfare dead-letters` tells and does."""

import asyncio
from typing import Any, Final

from fanfare.embedded.control import Handlers
from fanfare.embedded.errors import UpError
from fanfare.settings import Settings

__all__ = ["Letters"]

_MOST: Final = 100
# Each look reads the topics of dead letters from their beginning: those who ask at nearly the same time share one.
_FRESH_S: Final = 3.0


class Letters:
    """Dead letters, for whoever watches."""

    def __init__(self, settings: Settings) -> None:
        """Args: settings: with the addresses of the stores."""
        self._settings = settings
        self._lock = asyncio.Lock()
        self._found: list[Any] = []
        self._looked_at = float("-inf")

    @property
    def handlers(self) -> Handlers:
        """What the control socket is to answer."""
        return {"letters": self.listed, "retry": self.retry, "drop": self.drop}

    async def listed(self, _: dict[str, Any]) -> Any:
        """The newest dead letters that are not done, and how many there are."""
        found = await self._letters()
        newest = sorted(found, key=lambda letter: -letter.time_ms)[:_MOST]
        return {
            "count": len(found),
            "letters": [
                {
                    "id": letter.id,
                    "group": letter.group,
                    "position": str(letter.position),
                    "time_ms": letter.time_ms,
                    "error": letter.error,
                    "reason": letter.reason,
                }
                for letter in newest
            ],
        }

    async def retry(self, request: dict[str, Any]) -> Any:
        """Bring a record back; where it stands now. Args: request: `id` of its letter."""
        from fanfare.bus.letters import bring_back  # noqa: PLC0415 - slow to import

        position = await self._do(request, bring_back)
        return {"position": str(position)}

    async def drop(self, request: dict[str, Any]) -> Any:
        """Note that nothing is to be done about a letter. Args: request: its `id`."""
        from fanfare.bus.letters import drop  # noqa: PLC0415

        await self._do(request, drop)
        return {}

    async def _do(self, request: dict[str, Any], what: Any) -> Any:
        from fanfare.bus.errors import KafkaError  # noqa: PLC0415
        from fanfare.bus.letters import LetterError  # noqa: PLC0415
        from fanfare.bus.producer import NotHandedOverError  # noqa: PLC0415

        wanted = request.get("id")
        letter = next((one for one in await self._letters(fresh=True) if one.id == wanted), None)
        if letter is None:
            raise UpError(f"there is no dead letter {wanted!r} that is not done")
        try:
            return await what(self._settings, letter)
        except (LetterError, KafkaError, NotHandedOverError) as error:
            raise UpError(str(error)) from None
        finally:
            self._looked_at = float("-inf")

    async def _letters(self, *, fresh: bool = False) -> list[Any]:
        from fanfare.bus.client import KafkaAwayError  # noqa: PLC0415
        from fanfare.bus.letters import letters  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        async with self._lock:
            if fresh or loop.time() - self._looked_at > _FRESH_S:
                try:
                    self._found = [one for one in await letters(self._settings) if not one.done]
                except KafkaAwayError as error:
                    raise UpError(str(error)) from None
                self._looked_at = loop.time()
            return self._found
