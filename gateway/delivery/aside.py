"""An event for one session alone, which no inbox has: the answer to what its client has asked."""

import asyncio
from typing import Any, Final

from gateway.delivery.hub import Hub
from gateway.delivery.session import Session
from gateway.protocol.frames import dispatch, encode, wrap

__all__ = ["caught_up", "tell"]

_PAUSE_S: Final = 0.05


async def caught_up(session: Session) -> None:
    """Wait until the session is live: what is told aside carries its position, so all up to it must have been sent."""
    while session.cursor is not None:
        await asyncio.sleep(_PAUSE_S)


async def tell(hub: Hub, session: Session, event: str, d: dict[str, Any]) -> None:
    """Tell a session of an event, unless its connection is gone by then."""
    await caught_up(session)
    if session.link is not None:
        session.link.send(wrap(dispatch(hub.s, event, encode(d)), session.transport))
