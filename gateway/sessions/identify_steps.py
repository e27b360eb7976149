"""The steps of an IDENTIFY: register, wait until Redis has it, and only then take the snapshot. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.delivery.session import Link, Session
from gateway.protocol.codes import CloseCode
from gateway.recovery.wishes import Now, Steps, Within
from gateway.sessions.outcomes import EndError, come_again
from gateway.sessions.resume_steps import WAIT_S, Node, check_still_here
from gateway.sessions.session_wishes import Enter, Leave, UntilWhole

__all__ = ["MOST_GUILDS", "Begin", "identify"]

MOST_GUILDS: Final = 2500
"""Of a session; with more, its user needs more shards."""


@dataclass(slots=True)
class Begin(Now[None]):
    """Send READY and the guilds as the node knows them now, and connect the session."""

    session: Session
    link: Link


def identify(node: Node, link: Link, make: Callable[[str], Session]) -> Steps[Session]:
    """The steps; they raise EndError, and what was thrown into them.

    Args:
        node: where the client comes.
        link: its socket.
        make: makes the session, in an inbox.

    """
    try:
        yield from UntilWhole()
    except TimeoutError:
        raise come_again("Redis is away") from None
    inbox = node.progress.inbox
    session = make(inbox)
    try:
        yield from Within(WAIT_S, iter(Enter(session)))
        check_still_here(node, session, link, inbox)
        _check_size(session)
    except BaseException as error:
        if not isinstance(error, GeneratorExit):  # nobody answers any more
            yield from Leave(session)
        if isinstance(error, TimeoutError):
            raise come_again("Redis or the database is away") from None
        raise
    # What was accepted before is in the snapshot, what comes from here on is in the inbox: nothing lies between.
    yield from Begin(session, link)
    return session


def _check_size(session: Session) -> None:
    if len(session.guilds) > MOST_GUILDS:
        said = f"{len(session.guilds)} guilds, {MOST_GUILDS} at most: begin with more shards"
        raise EndError(CloseCode.SHARDING_REQUIRED, said)
