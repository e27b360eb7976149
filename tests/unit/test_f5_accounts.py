"""F5: a node's memory of revoked tokens."""

import pytest

from fanfare.store import StoreUnavailableError
from fanfare.tokens import BadTokenError, Holder, Tokens
from gateway.accounts import Accounts
from gateway.protocol.codes import CloseCode
from tests.unit.gateway_world import ALICE, BOB, OWNER, World, session

SECRET = "a secret of thirty-two characters"
TOKENS = Tokens(SECRET)
USER = 17


class Database:
    """What is asked of the store."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.asked = 0

    async def token_generation(self, user: int) -> int:
        self.asked += 1
        return self.generation


def accounts(generation: int = 0) -> tuple[Accounts, Database, list[tuple[int, int]]]:
    database = Database(generation)
    revoked: list[tuple[int, int]] = []
    made = Accounts(SECRET, database, revoked=lambda user, newest: revoked.append((user, newest)))
    made.caught_up()
    return made, database, revoked


async def test_f5_only_the_newest_generation_counts():
    known, database, revoked = accounts()
    first, second = TOKENS.issue(USER), TOKENS.issue(USER, generation=1)
    assert await known.admit(first) == Holder(USER, 0)
    known.learn(USER, 1)
    assert revoked == [(USER, 1)]
    assert not known.stands(Holder(USER, 0)), "a start under way ends"
    with pytest.raises(BadTokenError):
        await known.admit(first)
    assert await known.admit(f"Bot {second}") == Holder(USER, 1)
    assert await known.admit(TOKENS.issue(USER + 1)) == Holder(USER + 1, 0)
    assert database.asked == 0


async def test_f5_what_is_heard_twice_or_late_changes_nothing():
    known, _, revoked = accounts()
    for generation in (2, 2, 1):
        known.learn(USER, generation)
    assert revoked == [(USER, 2)]
    with pytest.raises(BadTokenError):
        await known.admit(TOKENS.issue(USER, generation=1))


async def test_f5_a_token_that_is_ahead_of_the_news_is_looked_up_and_ends_older_sessions():
    known, _, revoked = accounts(generation=1)
    assert await known.admit(TOKENS.issue(USER, generation=1)) == Holder(USER, 1)
    assert revoked == [(USER, 1)]


async def test_f5_a_token_of_a_generation_that_the_database_does_not_have_is_refused():
    """A copy of the database from before the revocation was put back: it says what counts."""
    known, _, _ = accounts(generation=1)
    with pytest.raises(BadTokenError):
        await known.admit(TOKENS.issue(USER, generation=2))


async def test_f5_before_the_revocations_are_read_nobody_is_let_in(monkeypatch):
    """A node that starts without its database must not take a token that was revoked."""
    monkeypatch.setattr("gateway.accounts._WAIT_S", 0)
    known = Accounts(SECRET, Database(0), revoked=lambda *_: None)
    with pytest.raises(StoreUnavailableError):
        await known.admit(TOKENS.issue(USER))
    with pytest.raises(BadTokenError):
        await known.admit("nonsense")


def test_f5_sessions_of_older_tokens_end_live_and_away():
    """One that began with a newer token, and those of everybody else, go on; a full socket is closed too."""
    world = World()
    hub = world.hub
    old, full, new, other = (session(hub, ident) for ident in (ALICE, ALICE, ALICE, BOB))
    away = session(hub, ALICE)
    hub.detach(away.session, ended=False)
    new.session.generation = 1
    full.stuck = True
    world.say("before")
    hub.revoke(ALICE, 1)
    assert old.ended == full.ended == CloseCode.AUTHENTICATION_FAILED
    assert {gone.key for gone in world.forgotten} == {one.session.key for one in (old, full, away)}
    assert set(hub.sessions) == {new.session.key, other.session.key}
    assert not hub.catch_up.catching
    world.say("after")
    assert new.contents[-1] == other.contents[-1] == "after"
    assert old.contents == ["before"]
    assert new.ended is other.ended is None
    hub.revoke(ALICE, 1)
    hub.revoke(OWNER, 1)
    assert set(hub.sessions) == {new.session.key, other.session.key}
