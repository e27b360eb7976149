"""What of a record that is too large is kept in its dead letter."""

from hypothesis import given
from hypothesis import strategies as st

from fanfare.bus.deadletters import LETTER_BYTES, shortened

HEADERS = st.lists(st.tuples(st.text(max_size=30), st.none() | st.binary(max_size=60)), max_size=30)


def size(letter) -> int:
    headers = sum(
        len(name.encode(errors="replace")) + len(content or b"") + 10 for name, content in letter.headers
    )
    return headers + len(letter.key) + len(letter.value)


@given(HEADERS, st.binary(max_size=300), st.binary(max_size=100), st.integers(0, 600))
def test_d2_it_fits_and_is_the_beginning_of_the_record(headers, value, key, most):
    letter = shortened(headers, value, key, most)
    assert size(letter) <= max(most, 0) + min(len(key), most)
    assert headers[: len(letter.headers)] == letter.headers
    assert value.startswith(letter.value)
    assert key.startswith(letter.key)
    whole = (letter.headers, letter.value, letter.key) == (headers, value, key)
    assert whole == (letter.lacks == "")


def test_d2_what_fits_is_kept_whole():
    letter = shortened([("v", b"1"), ("a", None)], b"x" * 800_000, b"k")
    assert (len(letter.value), letter.lacks) == (800_000, "")


def test_d2_a_huge_line_is_cut_and_said_to_be():
    letter = shortened([], b"x" * 1_048_400, b"")
    assert len(letter.value) == LETTER_BYTES
    assert letter.lacks == "900000 of 1048400 bytes of the value"


def test_d2_thousands_of_headers_are_left_out_and_the_value_is_kept():
    letter = shortened([(f"h{number}", b"x" * 50) for number in range(20_000)], b"{}", b"")
    assert letter.value == b"{}"
    assert len(letter.headers) < 2000
    assert letter.lacks == f"{len(letter.headers)} of 20000 headers"
