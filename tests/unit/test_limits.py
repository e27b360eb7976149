"""How many messages somebody may send to a channel in 5 s."""

import pytest

from gateway.ingress import limits
from gateway.ingress.errors import RateLimitedError
from gateway.ingress.limits import WINDOW_S, RateLimits


def test_one_too_many_is_refused_until_the_window_ends():
    found = RateLimits(2)
    found.take(1, 7, now=100.0)
    assert found.quota(1, 7, now=101.0)[:3] == (2, 1, 4.0)
    found.take(1, 7, now=101.0)
    with pytest.raises(RateLimitedError) as caught:
        found.take(1, 7, now=102.0)
    assert caught.value.retry_after == pytest.approx(3.0)
    found.take(2, 7, now=102.0)
    found.take(1, 8, now=102.0)
    found.take(1, 7, now=100.0 + WINDOW_S)
    assert found.quota(1, 7, now=105.0).remaining == 1


def test_without_a_limit_nothing_is_counted():
    found = RateLimits(0)
    for _ in range(2000):
        found.take(1, 7, now=0.0)
    assert found.quota(1, 7, now=0.0).remaining > 0
    assert not found._windows


def test_windows_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    """Else each pair of somebody and a channel would stay in memory for good."""
    monkeypatch.setattr(limits, "_SWEEP", 3)
    found = RateLimits(1)
    for user in range(4):
        found.take(user, 7, now=0.0)
    found.take(9, 7, now=WINDOW_S + 1)
    assert list(found._windows) == [(9, 7)]
