"""What replies hold of somebody's messages is found and taken out, and nothing else is touched."""

import msgspec
import pytest

from fanfare.archive.quotes import quotes, without_quote


def reply(author: int) -> bytes:
    return msgspec.json.encode(
        {
            "content": "yes",
            "referenced_message": {"author": {"id": str(author)}, "content": "secret"},
            "id": "7",
        }
    )


def test_the_words_of_the_user_go_and_the_reply_stays():
    assert quotes(reply(5), 5)
    assert msgspec.json.decode(without_quote(reply(5), 5)) == {
        "content": "yes",
        "referenced_message": None,
        "id": "7",
    }


@pytest.mark.parametrize(
    "body", [reply(6), b"", b"{}", b"[1]", b"\xff", b'{"referenced_message":{}}', b'"referenced_message":{']
)
def test_other_bodies_stay_byte_for_byte(body):
    assert not quotes(body, 5)
    assert without_quote(body, 5) == body
