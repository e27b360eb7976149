"""Emojis as clients name them in reactions and components. Pure.

Unicode's emojis are told from other text by what their characters are, not by a list: lists grow each year, and a
server that is older than its clients would refuse what they send.
"""

import re
import unicodedata
from typing import Final, NamedTuple

from fanfare.payloads import Json

__all__ = ["Emoji", "parse_emoji"]

# The longest of Unicode are some ten characters (families with skin tones, flags of regions).
_LONGEST: Final = 24
_CUSTOM: Final = re.compile(r"(?:a:)?([A-Za-z0-9_]{2,32}):([0-9]{15,19})")
_KEYCAP: Final = re.compile("[0-9#*]\ufe0f?\u20e3")
# What stands between and behind the pictures: joiner, variation selector, skin tones, tags, the keycap.
_JOINERS: Final = frozenset("\u200d\ufe0f\u20e3")
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0020, 0xE0080)
_PICTURES: Final = range(0x1F000, 0x20000)
# Pictures that Unicode counts among letters and punctuation.
_ODD: Final = frozenset("\u203c\u2049\u2139\u3030\u303d")


class Emoji(NamedTuple):
    """One emoji."""

    name: str
    id: int = 0
    """Of a custom emoji; 0: one of Unicode's."""

    @property
    def key(self) -> str:
        """Names it among the reactions of a message."""
        return f"{self.name}:{self.id}" if self.id else self.name

    @classmethod
    def of_key(cls, key: str) -> "Emoji":
        """What `key` named."""
        name, _, ident = key.rpartition(":")
        return cls(name, int(ident)) if name else cls(key)

    def json(self) -> Json:
        """As clients see it."""
        return {"id": str(self.id) if self.id else None, "name": self.name}


def parse_emoji(text: str) -> Emoji | None:
    """The emoji in a path: one of Unicode's, or `name:id`. None: it is neither."""
    custom = _CUSTOM.fullmatch(text)
    if custom is not None:
        return Emoji(custom[1], int(custom[2]))
    if not 0 < len(text) <= _LONGEST:
        return None
    if _KEYCAP.fullmatch(text) or (_is_picture(text[0]) and all(map(_belongs, text))):
        return Emoji(text)
    return None


def _is_picture(character: str) -> bool:
    if character.isascii():
        return False
    kind = unicodedata.category(character)
    # Python's tables may be older than the emoji: what has no category yet, in the plane of pictures, is one.
    return kind in {"So", "Sm"} or character in _ODD or (kind == "Cn" and ord(character) in _PICTURES)


def _belongs(character: str) -> bool:
    code = ord(character)
    return _is_picture(character) or character in _JOINERS or code in _SKIN_TONES or code in _TAGS
