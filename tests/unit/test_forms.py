"""Bodies: what is no JSON, too deep or too large, and values that are something else than the field is for."""

import json
from typing import Any

import pytest

from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import Form, body_of, forms_of


def code_of(raw: bytes) -> str:
    with pytest.raises(FormError) as caught:
        body_of(raw)
    return str(caught.value.errors["_errors"][0]["code"])


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json(raw: bytes):
    with pytest.raises(ApiError) as caught:
        body_of(raw)
    assert (caught.value.status, caught.value.code) == (400, 50109)


def test_a_body_that_is_too_deep_or_too_large():
    assert code_of(b"[" * 500 + b"]" * 500) == "BASE_TYPE_MAX_DEPTH"
    assert code_of(json.dumps([0] * 200_000).encode()) == "BASE_TYPE_MAX_LENGTH"
    assert body_of(b'{"a": [1]}') == {"a": [1]}
    wide = {str(number): {"a": [1]} for number in range(60)}
    assert body_of(json.dumps(wide).encode()) == wide, "many objects beside each other are not deep"


def test_a_list_of_objects():
    assert [form.raw("a") for form in forms_of([{"a": 1}, {"a": 2}], 2)] == [1, 2]
    for body, code in (({}, "LIST_TYPE_CONVERT"), ([{}, {}, {}], "BASE_TYPE_MAX_LENGTH")):
        with pytest.raises(FormError) as caught:
            forms_of(body, 2)
        assert caught.value.errors["_errors"][0]["code"] == code


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://example.org/a?b#c", True),
        ("http://[::1]:80/", True),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("https://a b", False),
        ("https://a\u202eb", False),
        ("https://a:99999/", False),
        ("https://[x/", False),
    ],
)
def test_urls(url: str, taken: bool):
    form = Form({"url": url})
    assert form.url("url", longest=100) == (url if taken else None)
    assert bool(form.errors) is not taken


def test_a_url_that_is_required_is_not_empty():
    form = Form({"url": ""})
    assert form.url("url", longest=100) is None
    assert not form.errors
    assert form.url("url", longest=100, required=True) is None
    assert form.errors["url"]["_errors"][0]["code"] == "BASE_TYPE_REQUIRED"


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (5, 5), ("5", 5), (5.0, 5), (True, None), (5.5, None), ("5x", None), ("9" * 30, None), (1 << 200, None),
        (1e300, None), ([], None),
    ],
)  # fmt: skip
def test_whole_numbers(value: Any, meant: int | None):
    form = Form({"n": value})
    assert form.integer("n") == meant
    assert bool(form.errors) is (meant is None)


@pytest.mark.parametrize(
    ("text", "taken"), [("", False), ("a", True), ("abc", True), ("abcd", False), ("a\0bc", True)]
)
def test_texts_have_a_least_and_a_greatest_length(text: str, taken: bool):
    form = Form({"name": text})
    assert form.text("name", shortest=1, longest=3) == (text.replace("\0", "") if taken else None)
    codes = [error["code"] for error in form.errors.get("name", {"_errors": []})["_errors"]]
    assert codes == ([] if taken else ["BASE_TYPE_BAD_LENGTH"])
