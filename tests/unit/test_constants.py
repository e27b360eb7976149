"""The relations between constants that docs/design.md, section 10, demands."""

from datetime import UTC, datetime

import pytest

from fanfare import constants as c
from fanfare.bus.topics import DELIVERIES_OF, specs
from fanfare.settings import Settings

# What a node is stated to bear: messages per second to its guilds, and the bytes that one takes in the ring.
PEAK_PER_S = 1000
MESSAGE_BYTES = 2400
# Measured with nine client libraries: the first to give up on READY, and on a silent socket.
LIBRARY_READY_S = 15
LIBRARY_SILENCE_S = 60
# No healthy loop stops for longer: a full garbage collection of a large process, or a slow disk.
LONGEST_PAUSE_S = 2.0

SETTINGS = Settings()


def test_a_node_outlives_a_pause_and_a_lost_renewal():
    assert c.NODE_LEASE_S > 2 * c.NODE_RENEW_S + LONGEST_PAUSE_S - 1
    assert c.NODE_LEASE_S >= 3 * c.NODE_RENEW_S
    assert c.EPOCH_HOLD_S >= c.TOKEN_S + LONGEST_PAUSE_S + 1, "a node notices, and registers what it holds"


def test_an_inbox_outlives_the_sessions_of_a_dead_node():
    # The window begins when the client loses its socket: up to a lease after the last renewal of the inbox.
    assert c.INBOX_TTL_S >= c.RESUME_WINDOW_S + c.NODE_LEASE_S + c.FENCE_TIMEOUT_S
    assert c.MOVED_TTL_S >= 3 * c.INBOX_TTL_S


def test_the_resume_window_is_covered():
    assert c.INBOX_CAP_ENTRIES >= c.RESUME_WINDOW_S * PEAK_PER_S


@pytest.mark.parametrize("topic", DELIVERIES_OF.values())
def test_deliveries_are_kept_for_a_repair(topic):
    assert specs(SETTINGS)[topic].retention_ms / 1000 >= 2 * (c.RESUME_WINDOW_S + c.INBOX_TTL_S)


@pytest.mark.parametrize("topic", DELIVERIES_OF)
def test_events_are_kept_for_nonces_and_restarts(topic):
    assert specs(SETTINGS)[topic].retention_ms / 1000 >= 10 * c.NONCE_WINDOW_S
    assert specs(SETTINGS)[topic].log_append_time


def test_the_ring_holds_two_seconds_at_the_peak():
    assert c.RING_BYTES >= 2 * PEAK_PER_S * MESSAGE_BYTES


def test_a_socket_is_full_long_before_the_ring():
    assert c.SOCKET_HIGH_WATER_BYTES * 16 <= c.RING_BYTES


def test_a_retry_is_recognised_longer_than_clients_go_on():
    # A gateway does not say accepted after half the window.
    assert c.NONCE_WINDOW_S / 2 > 10 * c.ANSWER_TIMEOUT_S
    assert c.NONCE_WINDOW_S / 2 > 2 * c.CLOCK_SKEW_S + c.ANSWER_TIMEOUT_S


def test_kafka_counts_as_away_before_an_answer_is_due():
    assert c.BREAKER_S < c.ANSWER_TIMEOUT_S <= 5


def test_a_fence_has_time_to_come_by():
    assert c.FENCE_GATHER_S * 10 < c.FENCE_TIMEOUT_S < LIBRARY_READY_S


def test_the_early_part_has_numbers_enough():
    assert c.EARLY_NUMBERS > c.FENCE_TIMEOUT_S * PEAK_PER_S
    # Each resume on another node makes `s` run ahead by them: a node may adopt ten times a second for ever.
    assert 10 * c.EARLY_NUMBERS < 1000 << c.S_SHIFT


def test_heartbeats_keep_sockets_alive():
    assert c.HEARTBEAT_INTERVAL_MS / 1000 < LIBRARY_SILENCE_S
    assert 2 * c.HEARTBEAT_INTERVAL_MS / 1000 < c.RESUME_WINDOW_S, (
        "silence is noticed while a resume is possible"
    )


def test_limits_are_discords():
    assert (c.CLIENT_FRAME_BYTES, c.CLIENT_FRAMES_PER_MINUTE) == (4096, 120)
    assert c.CLIENT_FRAME_BYTES < c.OWN_FRAME_BYTES
    assert c.OWN_UNANSWERED * c.OWN_FRAME_BYTES <= c.UNACKNOWLEDGED_BYTES, (
        "one client cannot fill the producer"
    )


def test_workers_beat_several_times_a_session_timeout():
    assert 3 * c.HEARTBEAT_MS < 1000 <= SETTINGS.session_timeout_ms
    assert SETTINGS.session_timeout_ms > c.COMMIT_INTERVAL_S * 1000


def test_s_fits_a_javascript_number_for_fifty_years():
    assert datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000 == c.S_EPOCH_MS
    in_fifty_years = datetime(2076, 1, 1, tzinfo=UTC).timestamp() * 1000
    assert (in_fifty_years - c.S_EPOCH_MS) * 2**c.S_SHIFT < 2**53
    # A node that writes more than this in each millisecond makes `s` run ahead of the clock.
    assert PEAK_PER_S / 1000 < 2**c.S_SHIFT


def test_snowflakes_begin_with_discords():
    assert datetime(2015, 1, 1, tzinfo=UTC).timestamp() * 1000 == c.SNOWFLAKE_EPOCH_MS
    assert c.CLOCK_SKEW_S < c.WORKER_LEASE_S


def test_what_is_kept_is_bounded():
    assert c.RECENT_KEPT <= c.RECENT_CAP
    assert c.LARGE_GUILD == 250, "what most libraries send as large_threshold"
