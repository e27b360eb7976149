"""Reading past records that aiokafka cannot take apart: a header whose name is no UTF-8, which brokers do take.

At such a record aiokafka raises from `getmany`, each time anew, and forgets the records of other partitions that it had
ready. Here nothing is forgotten: such a record is reported, and passed by.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import IllegalStateError

__all__ = ["Careful", "Unreadable"]

Unreadable = Callable[[KafkaPartition, int, UnicodeDecodeError], Awaitable[None]]
"""Told of each record that cannot be read, before it is passed by."""

_POSITION_S: Final = 0.5
_FETCH_MS: Final = 200


async def _pass_by(partition: KafkaPartition, offset: int, error: UnicodeDecodeError) -> None:
    """The workers set such records aside."""


class Careful:
    """Takes records out of an aiokafka consumer."""

    def __init__(self, client: Any, unreadable: Unreadable = _pass_by) -> None:
        """Args: client: a consumer that is started. unreadable: told of what cannot be read."""
        self._client = client
        self._unreadable = unreadable
        self._next: dict[KafkaPartition, int] = {}

    def begin(self, starts: Mapping[KafkaPartition, int]) -> None:
        """Note the offsets that are read from: of the partitions named, and no others any more."""
        self._next = dict(starts)

    async def getmany(self, *partitions: KafkaPartition, timeout_ms: int) -> dict[KafkaPartition, list[Any]]:
        """As of aiokafka; of the partitions named, or of all.

        Raises:
            KafkaError: as aiokafka's.

        """
        try:
            fetched = await self._client.getmany(*partitions, timeout_ms=timeout_ms)
        except UnicodeDecodeError:
            fetched = await self._one(partitions)
        for partition, messages in fetched.items():
            self._next[partition] = messages[-1].offset + 1
        return dict(fetched)

    async def _one(self, partitions: tuple[KafkaPartition, ...]) -> Mapping[KafkaPartition, list[Any]]:
        """The next record of some partition that has one, or nothing when one was passed by."""
        chosen = list(partitions or self._client.assignment())
        for partition in chosen:
            with suppress(IllegalStateError):
                await self._rewind(partition)
        random.shuffle(chosen)  # so that busy partitions do not keep us from the one with the bad record
        for partition in chosen:
            try:
                # One by one, so that the client's position is at the record at which it fails.
                fetched: Mapping[KafkaPartition, list[Any]] = await self._client.getmany(
                    partition, timeout_ms=_FETCH_MS, max_records=1
                )
            except UnicodeDecodeError as error:
                with suppress(IllegalStateError, TimeoutError):
                    offset = await asyncio.wait_for(self._client.position(partition), _POSITION_S)
                    await self._unreadable(partition, offset, error)
                    self._client.seek(partition, offset + 1)
                    self._next[partition] = offset + 1
                return {}
            if fetched:
                return fetched
        return {}

    async def _rewind(self, partition: KafkaPartition) -> None:
        """Go back to what was taken last: the client may have forgotten what it had ready."""
        offset = self._next.get(partition)
        if offset is None:
            offset = await self._client.committed(partition)
        if offset is None:
            await self._client.seek_to_beginning(partition)
        else:
            self._client.seek(partition, offset)
