"""What counts as an emoji in a path."""

import pytest

from fanfare.emoji import Emoji, parse_emoji


@pytest.mark.parametrize(
    "text",
    ["👍", "❤️", "❤", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "#⃣", "‼️",
     "\u2139\ufe0f", "↔️", "🏴\U000e0067\U000e007f", "\U0001fae9"],
)  # fmt: skip
def test_unicode(text):
    found = parse_emoji(text)
    assert found == Emoji(text)
    assert Emoji.of_key(found.key) == found
    assert found.json() == {"id": None, "name": text}


@pytest.mark.parametrize(
    "text",
    ["", "a", "thumbs", "1", "👍a", "👍" * 25, "\0", "é", "<3", "\ufe0f", "x:1", "Ü:123456789012345678"],
)
def test_no_emoji(text):
    assert parse_emoji(text) is None


def test_custom():
    found = parse_emoji("a:party:123456789012345678")
    assert found == parse_emoji("party:123456789012345678") == Emoji("party", 123456789012345678)
    assert Emoji.of_key(found.key) == found
    assert found.json() == {"id": "123456789012345678", "name": "party"}
