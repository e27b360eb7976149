"""What the body of a request may say about the tags of a forum, and of a thread in one. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from fanfare.model import Tag
from gateway.ingress.forms import Form

__all__ = ["applied_tags", "available_tags"]

_MOST: Final = 20
_MOST_APPLIED: Final = 5
_NAME: Final = 20
_EMOJI: Final = 100


def available_tags(form: Form, present: Sequence[Tag], next_id: Callable[[], int]) -> tuple[Tag, ...] | None:
    """The tags that a forum is to have; None: as it is. Check the form afterwards.

    Args:
        form: the body.
        present: those that it has; one that says its id keeps it.
        next_id: makes ids.

    """
    known = {tag.id for tag in present}

    def read(one: Form) -> Tag:
        ident = one.snowflake("id")
        if ident is not None and ident not in known:
            one.fail("id", "BASE_TYPE_CHOICES", "The forum has no such tag.")
        emoji = one.snowflake("emoji_id") or None
        name = one.text("emoji_name", longest=_EMOJI) or None
        if emoji and name:
            one.fail("emoji_name", "BASE_TYPE_CHOICES", "Say one of emoji_id and emoji_name.")
        return Tag(
            id=ident or 0,
            name=one.text("name", shortest=1, longest=_NAME, required=True, shown=True) or "",
            moderated=one.boolean("moderated") or False,
            emoji_id=emoji,
            emoji_name=name,
        )

    found = form.children("available_tags", read, most=_MOST)
    if found is None or form.errors:
        return None
    if len({tag.name for tag in found}) < len(found):
        form.fail("available_tags", "BASE_TYPE_CHOICES", "Tag names must be unique.")
    taken = [tag.id for tag in found if tag.id]
    if len(set(taken)) < len(taken):
        form.fail("available_tags", "BASE_TYPE_CHOICES", "A tag stands there twice.")
    return tuple(tag if tag.id else tag.with_id(next_id()) for tag in found)


def applied_tags(form: Form) -> tuple[int, ...] | None:
    """The tags that a thread is to have; None: as it is. Check the form afterwards."""
    found = form.snowflakes("applied_tags", most=_MOST_APPLIED)
    return None if found is None else tuple(found)
