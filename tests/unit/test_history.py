"""A page out of the database and the cache is the page of what is really there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.clock import now_s
from fanfare.ids import first_snowflake
from gateway.ingress import history
from gateway.ingress.errors import ApiError, RateLimitedError
from gateway.ingress.history import History, merge
from gateway.ingress.limits import RateLimits
from gateway.ingress.nonces import Claim

messages = st.dictionaries(st.integers(1, 60), st.booleans(), max_size=30)


@given(messages, st.data(), st.integers(1, 12), st.booleans())
def test_pages(alive: dict[int, bool], data: st.DataObject, limit: int, oldest: bool) -> None:
    """Whatever part of it the database knows, and at whichever state, if the cache knows the rest."""
    truth = {ident: b"new %d" % ident for ident, there in alive.items() if there}
    archived = data.draw(st.sets(st.sampled_from(sorted(alive)))) if alive else set()
    current = data.draw(st.sets(st.sampled_from(sorted(archived)))) if archived else set()
    # What the database shows: some as they are now, some as they were, and some that are deleted by now.
    rows = {i: truth.get(i, b"gone") for i in archived}
    rows |= dict.fromkeys(archived - current, b"old")
    rows = {i: body for i, body in rows.items() if not (i in current and i not in truth)}
    cached = {i: truth.get(i, b"") for i in alive if i not in current}
    hidden = sum(not body for body in cached.values())
    page = sorted(rows, reverse=not oldest)[: limit + hidden]
    found = merge({i: rows[i] for i in page}, cached, limit, oldest=oldest)
    expected = sorted(sorted(truth, reverse=not oldest)[:limit], reverse=True)
    assert found == [truth[i] for i in expected]


@given(
    st.integers(0, 1 << 63),
    st.integers(0, 1 << 63),
    st.sampled_from(["", "a1b2", "node:x"]),
    st.integers(0, 1 << 53),
)
def test_claims_are_read_as_written(ident: int, channel: int, node: str, number: int) -> None:
    claim = Claim(ident, channel, node, number)
    assert Claim.parse(claim.words.encode()) == claim


def test_rate_limits() -> None:
    limits = RateLimits(2)
    limits.take(1, 1, 100.0)
    limits.take(1, 1, 104.0)
    limits.take(1, 2, 104.0)
    assert limits.quota(1, 1, 104.0)[:3] == (2, 0, 1.0)
    with pytest.raises(RateLimitedError) as raised:
        limits.take(1, 1, 104.5)
    assert raised.value.retry_after == 0.5
    limits.take(1, 1, 105.0)
    assert RateLimits(0).quota(1, 1, 0).remaining > 0


@pytest.mark.parametrize(
    ("answers", "age_s", "asked"),
    [
        ([b"{}"], 0, 1),
        ([None, None, b"{}"], 0, 3),
        ([None, b""], 0, 2),
        ([None], 60, 1),
        ([None] * 6, 0, 6),
    ],
)
async def test_a_message_that_a_client_has_is_looked_for_again(answers, age_s, asked, monkeypatch) -> None:
    """The node that accepted it may note it a moment after it has come to people; one that is old is not there."""
    left = list(answers)

    class Store:
        async def message(self, *_: int) -> None:
            return None

    async def one_of(*_: object) -> bytes | None:
        return left.pop(0)

    monkeypatch.setattr(history.recent, "one_of", one_of)
    monkeypatch.setattr(history, "_SOON_S", (0.0,) * 5)
    ident = first_snowflake(int((now_s() - age_s) * 1000))
    reading = History(Store(), None).stored(1, ident)  # type: ignore[arg-type]
    if answers[-1]:
        assert await reading == answers[-1]
    else:
        with pytest.raises(ApiError) as caught:
            await reading
        assert caught.value.code == 10008
    assert len(answers) - len(left) == asked
