"""How far a node has taken its inbox, and with it the log. Pure, except that tasks can wait for an entry."""

import asyncio
from collections.abc import Mapping

from fanfare.presence.inboxes import InboxEntry
from gateway.recovery.path import Fence

__all__ = ["Progress"]


class Progress:
    """The place of a node in its inbox."""

    def __init__(self, inbox: str, s: int) -> None:
        """Args: inbox: the node's; s: where it begins."""
        self.inbox = inbox
        self.s = s
        """`s` of the newest entry taken from the inbox."""
        self.high: Fence = {}
        """Highest position taken per source partition."""
        self.cut: Fence = {}
        """What is not above this came from a lost inbox and is left out."""
        self.newest: dict[str, int] = {}
        """Newest `s` per scope."""
        self.newest_id = 0
        """The highest snowflake taken, of events and messages."""
        self._awaited: list[tuple[int, asyncio.Future[None]]] = []

    def take(self, entry: InboxEntry) -> bool:
        """Note an entry; returns whether it is an event for sessions."""
        self.s = entry.s
        record = entry.record
        if record is None or (self.cut and entry.offset <= self.cut.get(entry.partition, -1)):
            return False
        self.high[entry.partition] = entry.offset
        if record.fence:
            return False
        self.newest_id = max(self.newest_id, record.id)
        for scope in record.scopes():
            self.newest[scope] = self.s
        return True

    def begin(self, inbox: str) -> None:
        """The node's inbox was lost; from here on its sessions are in this one."""
        self.inbox = inbox

    def replaced(self, s: int, *, cut: Fence, high: Mapping[str, int]) -> None:
        """The next inbox is open, and what was missed has been taken.

        Args:
            s: the first of the next inbox.
            cut: what is not above this stood in the lost inbox.
            high: highest position per source partition that is dealt with.

        """
        self.s = s
        self.cut = cut
        self.high.update(high)

    def is_past(self, fence: Fence) -> bool:
        """Whether everything up to a fence has been taken."""
        return all(self.high.get(name, -1) >= offset for name, offset in fence.items())

    def when(self, s: int) -> "asyncio.Future[None]":
        """Done as soon as the inbox has been taken up to `s`."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.s >= s:
            reached.set_result(None)
        else:
            self._awaited.append((s, reached))
        return reached

    def tell(self) -> None:
        """Tell those whose `s` was reached."""
        if not self._awaited:
            return
        awaited, self._awaited = self._awaited, []
        for s, reached in awaited:
            if reached.done():
                continue  # cancelled
            if self.s >= s:
                reached.set_result(None)
            else:
                self._awaited.append((s, reached))
