"""What becomes of a message at the end of its nonce's window, as its gateway answers and as the workers decide."""

from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import SNOWFLAKE_EPOCH_MS
from fanfare.record import CHANNEL, Record
from fanfare.retries import MESSAGE_CREATE, Outcome, is_late, outcome_of

MADE_MS = 1_000_000
WINDOW_MS = 300_000


@given(
    sent_ms=st.integers(-2_000, WINDOW_MS + 3_000),
    took_ms=st.integers(0, 5_000),
    share=st.floats(0, 1),
    ahead_ms=st.integers(-400_000, 400_000),
)
def test_d4_what_is_refused_never_appears_and_what_is_accepted_always(sent_ms, took_ms, share, ahead_ms):
    """Wherever between the hand-over and the acknowledgement the broker appended it, by its own clock."""
    ident = (MADE_MS) << 22
    made_ms = SNOWFLAKE_EPOCH_MS + MADE_MS
    sent = made_ms + sent_ms
    appended = int(sent + share * took_ms + ahead_ms)
    outcome = outcome_of(ident, sent_ms=sent, acknowledged_ms=sent + took_ms, ahead_ms=ahead_ms)
    late = is_late(_message(ident), appended)
    assert not (outcome is Outcome.DROPPED and not late), "refused, and delivered"
    assert not (outcome is Outcome.KEPT and late), "accepted, and dropped"


def test_d4_only_at_the_end_of_the_window_it_is_not_known():
    ident, made = MADE_MS << 22, SNOWFLAKE_EPOCH_MS + MADE_MS
    for at, outcome in (
        (0, Outcome.KEPT),
        (WINDOW_MS, Outcome.UNKNOWN),
        (WINDOW_MS + 2_000, Outcome.DROPPED),
    ):
        assert outcome_of(ident, sent_ms=made + at, acknowledged_ms=made + at + 10, ahead_ms=0) is outcome
        assert outcome_of(ident, sent_ms=made, acknowledged_ms=made + 10, ahead_ms=at) is outcome


def _message(ident: int) -> Record:
    return Record(type=MESSAGE_CREATE, audience=CHANNEL, id=ident, nonce="n")
