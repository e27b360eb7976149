"""Answers that are no results, in the form that client libraries wait for."""

import msgspec
import pytest

from gateway.ingress.errors import ApiError, FormError, RateLimitedError, RefusedError, UnknownOutcomeError
from gateway.rest.app import _error
from gateway.rest.context import json_body


def test_the_content_type_has_no_charset() -> None:
    assert json_body(b"{}").headers["Content-Type"] == "application/json"


def test_too_many_requests() -> None:
    """Libraries retry only with all of these; without `Via` some raise instead."""
    answer = _error(RateLimitedError(1.5, 5, "messages-1"))
    assert answer.status == 429
    assert msgspec.json.decode(answer.body) == {
        "message": "You are being rate limited.",
        "code": 0,
        "retry_after": 1.5,
        "global": False,
    }
    # Whole seconds in the one (RFC 9110), so that urllib3 and its like can read it; the fraction in the other.
    assert (answer.headers["Retry-After"], answer.headers["X-RateLimit-Reset-After"]) == ("2", "1.500")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("5", "0")
    assert answer.headers["X-RateLimit-Bucket"] == "messages-1"
    assert answer.headers["X-RateLimit-Scope"] == "user"
    assert answer.headers["Via"]


def test_the_three_answers_can_be_told_apart() -> None:
    refused, unknown = (
        _error(RefusedError("Kafka is away", 2.0)),
        _error(UnknownOutcomeError("not acknowledged")),
    )
    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    assert unknown.status == 504
    assert "Retry-After" not in unknown.headers
    assert RefusedError("x", 2.0).socket()["code"] == 503
    assert RefusedError("x", 2.0).socket()["retry_after"] == 2.0
    assert UnknownOutcomeError("x").socket()["code"] == 504
    assert RateLimitedError(1, 5, "b").socket()["code"] == 429
    assert ApiError(403, 50001, "Missing Access").socket()["code"] == 50001


@pytest.mark.parametrize("key", ["content", "embeds.0.title"])
def test_a_wrong_field_is_nested(key: str) -> None:
    errors = FormError.at(key, "CODE", "why").rest()["errors"]
    for part in key.split("."):
        errors = errors[part]
    assert errors == {"_errors": [{"code": "CODE", "message": "why"}]}
