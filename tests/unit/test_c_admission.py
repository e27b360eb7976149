"""Bounds on connections that have not identified: who makes room for whom."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import HEAD_BYTES, HEADS_BYTES, INVALID_TOKENS_WINDOW_S
from gateway.listening.admission import Admission, Bounds, Room, Seldom, bucket


class Guest:
    """A connection that knows whether it was cut."""

    def __init__(self, admission: Admission) -> None:
        self.admission, self.was_cut = admission, False

    def cut(self) -> None:
        self.was_cut = True


def _admission(in_all=8, per_address=4, tokens=3, proxies=(), descriptors=10_000):
    said: list[str] = []
    admission = Admission(
        "test", Bounds(in_all, per_address, tokens, proxies), Room(descriptors), said.append
    )
    return admission, said


def _enter(admission, address="192.0.2.1", now=0.0):
    guest = Guest(admission)
    admission.enter(guest, address, now)
    return guest


def test_c2_the_oldest_makes_room_and_the_newcomer_stays():
    admission, said = _admission(in_all=3, per_address=0)
    guests = [_enter(admission, f"192.0.2.{number}") for number in range(5)]
    assert [guest.was_cut for guest in guests] == [True, True, False, False, False]
    assert said == ["all", "all"]


def test_c2_an_address_cannot_push_out_the_others():
    admission, said = _admission(in_all=8, per_address=4)
    other = _enter(admission, "198.51.100.7")
    many = [_enter(admission) for _ in range(100)]
    assert not other.was_cut
    assert [guest.was_cut for guest in many] == [True] * 96 + [False] * 4
    assert set(said) == {"address"}


def test_c2_who_has_identified_is_no_guest_any_more():
    admission, _ = _admission(in_all=2, per_address=0)
    somebody = _enter(admission)
    admission.identified(somebody)
    for _ in range(10):
        _enter(admission)
    assert not somebody.was_cut


def test_c3_what_is_kept_of_heads_is_bounded_for_one_and_for_all():
    admission, said = _admission(in_all=0, per_address=0)
    guest = _enter(admission)
    assert admission.heard(guest, HEAD_BYTES)
    assert not admission.heard(guest, 1), "told to refuse it"
    silent = _enter(admission)
    many = [_enter(admission) for _ in range(HEADS_BYTES // HEAD_BYTES + 10)]
    for one in many:
        admission.heard(one, HEAD_BYTES)
    assert guest.was_cut, "the oldest of those that have sent something"
    assert not silent.was_cut, "cutting it would free nothing"
    assert said == ["bytes"] * sum(one.was_cut for one in (guest, *many))


def test_c3_a_complete_request_takes_no_room():
    admission, _ = _admission(in_all=0, per_address=0)
    guests = [_enter(admission) for _ in range(2 * HEADS_BYTES // HEAD_BYTES)]
    for guest in guests:
        admission.heard(guest, HEAD_BYTES)
        admission.parsed(guest)
    assert not any(guest.was_cut for guest in guests)


def test_an_address_with_too_many_wrong_tokens_is_kept_out_for_a_while():
    admission, said = _admission(tokens=3)
    for _ in range(3):
        guest = _enter(admission)
        admission.invalid(guest, 0.0)
        admission.left(guest)
    assert _enter(admission, now=INVALID_TOKENS_WINDOW_S - 1).was_cut
    assert not _enter(admission, "192.0.2.2").was_cut
    assert not _enter(admission, now=INVALID_TOKENS_WINDOW_S + 1).was_cut
    assert said == ["invalid tokens"]


def test_only_a_trusted_proxy_names_its_client():
    admission, said = _admission(in_all=0, per_address=2, proxies=(ip_network("10.0.0.0/8"),))
    behind = [_enter(admission, "10.1.2.3") for _ in range(10)]
    assert not any(guest.was_cut for guest in behind), "its own address is not counted"
    for guest in behind[:4]:
        # The client may have put anything there; the proxy adds what it saw.
        admission.named(guest, "203.0.113.9, 192.0.2.7, 10.9.9.9", 0.0)
    assert [guest.was_cut for guest in behind] == [True, True] + [False] * 8
    liar = [_enter(admission, "192.0.2.50") for _ in range(3)]
    admission.named(liar[2], "203.0.113.77", 0.0)
    assert [guest.was_cut for guest in liar] == [True, False, False]
    assert set(said) == {"address"}


def test_c2_descriptors_are_left_for_what_else_a_process_does():
    admission, said = _admission(in_all=0, per_address=0, descriptors=1000)
    guests = [_enter(admission) for _ in range(744)]
    assert not any(guest.was_cut for guest in guests)
    sessions = guests[:700]
    for guest in sessions:
        admission.identified(guest)
    _enter(admission)
    assert [guest.was_cut for guest in guests] == [False] * 700 + [True] + [False] * 43
    assert said == ["descriptors"]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", ""),
    ],
)
def test_what_counts_as_one_address(address, counted):
    assert bucket(address) == counted


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "identified", "left", "heard", "parsed"]),
            st.integers(0, 30),
            st.integers(0, 3),
        )
    )
)
def test_c2_bounds_hold_whatever_happens(steps):
    admission, _ = _admission(in_all=6, per_address=3)
    guests: list[Guest] = []
    for step, at, address in steps:
        if step == "enter" or not guests:
            guests.append(_enter(admission, f"192.0.2.{address}"))
        else:
            guest = guests[at % len(guests)]
            match step:
                case "identified":
                    admission.identified(guest)
                case "left":
                    guests.remove(guest)
                    admission.left(guest)
                case "heard":
                    admission.heard(guest, 1000)
                case "parsed":
                    admission.parsed(guest)
        held = admission._guests
        assert len(held) <= 6
        assert not any(guest.was_cut for guest in held)
        assert sorted(map(id, held)) == sorted(id(one) for some in admission._of.values() for one in some)
        assert all(0 < len(some) <= 3 for some in admission._of.values())
        assert admission._bytes == sum(admission._heads.values())
        assert set(admission._heads) <= set(held)
        assert admission._room.used == len(guests)


def test_what_happens_all_the_time_is_said_at_growing_intervals():
    seldom = Seldom()
    said = [now for now in range(10_000) if seldom.now(float(now))]
    assert said[:4] == [0, 2, 6, 14]
    assert said[-1] - said[-2] == 600
    assert seldom.now(100_000.0)
    assert seldom.now(100_001.0), "after a long quiet the intervals are short again"
