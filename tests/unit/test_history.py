"""A page out of the database and the cache is the page of what is really there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingress.errors import RateLimitedError
from gateway.ingress.history import merge
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
