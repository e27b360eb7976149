"""Reading JSON bodies from clients: tolerant of nulls, unknown keys and numbers for ids. Pure.

A `Form` collects what is wrong, so that one answer names every wrong field, nested as Discord nests them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from fanfare.ids import MAX_ID
from gateway.ingress.errors import ApiError, FormError

__all__ = ["Form", "body_of", "forms_of", "present"]

_T = TypeVar("_T")

_MAX_INT: Final = (1 << 53) - 1
# The deepest that Discord documents is a button in a row in a container, and its emoji.
_MAX_DEPTH: Final = 16
_MAX_VALUES: Final = 5_000


def body_of(raw: bytes) -> Any:
    """The JSON value of a body, which is neither very deep nor of very many values: so it may be walked and shown.

    Raises:
        ApiError: 50109, it is not JSON.
        FormError: it is nested too deep, or has too many values.

    """
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from error
    # Counting is quick and says too much rather than too little; only what looks large is walked.
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH or raw.count(b",") > _MAX_VALUES:
        _check_size(found)
    return found


def _check_size(body: Any) -> None:
    level, count = [body], 0
    for _ in range(_MAX_DEPTH + 1):
        level = [
            one
            for value in level
            if isinstance(value, dict | list)
            for one in (value.values() if isinstance(value, dict) else value)
        ]
        count += len(level)
        if count > _MAX_VALUES:
            said = f"Must have {_MAX_VALUES} or fewer values in all."
            raise FormError({"_errors": [_error("BASE_TYPE_MAX_LENGTH", said)]})
        if not level:
            return
    said = f"Must be nested {_MAX_DEPTH} levels or less."
    raise FormError({"_errors": [_error("BASE_TYPE_MAX_DEPTH", said)]})


def forms_of(body: Any, most: int) -> "list[Form]":
    """The objects of a body that is a list. Raises: FormError: it is none, or longer than `most`."""
    if not isinstance(body, list):
        said = {"code": "LIST_TYPE_CONVERT", "message": "Only iterables may be used in a ListType"}
        raise FormError({"_errors": [said]})
    if len(body) > most:
        said = {"code": "BASE_TYPE_MAX_LENGTH", "message": f"Must be {most} or fewer in length."}
        raise FormError({"_errors": [said]})
    return [Form(one) for one in body]


def present(found: dict[str, Any]) -> dict[str, Any]:
    """What was read of an object, without the keys that are absent, null or wrong."""
    return {key: value for key, value in found.items() if value is not None}


class Form:
    """One object of a body. Each reader answers None where the key is absent, null or wrong.

    Call `check()` after reading, on the outermost form.
    """

    __slots__ = ("body", "errors")

    def __init__(self, body: Any) -> None:
        """Args: body: the decoded JSON; anything but an object is an error of the form itself."""
        self.errors: dict[str, Any] = {}
        if isinstance(body, Mapping):
            self.body: Mapping[str, Any] = body
        else:
            self.body = {}
            said = "Only dictionaries may be used in a DictType"
            self.errors["_errors"] = [_error("DICT_TYPE_CONVERT", said)]

    def __contains__(self, key: str) -> bool:
        """The key is there, null or not."""
        return key in self.body

    def fail(self, key: str, code: str, message: str) -> None:
        """Note that the field is wrong."""
        self.errors.setdefault(key, {}).setdefault("_errors", []).append(_error(code, message))

    def check(self) -> None:
        """Raises: FormError: something read so far is wrong."""
        if self.errors:
            raise FormError(self.errors)

    def raw(self, key: str) -> Any:
        """The value as it is."""
        return self.body.get(key)

    def text(
        self, key: str, *, longest: int, shortest: int = 0, required: bool = False, shown: bool = False
    ) -> str | None:
        """A string; lengths in characters. NUL characters are left out, no store holds them.

        With `shown`, one of spaces alone counts as absent: nobody would see it.
        """
        value = self.body.get(key)
        if value is None:
            self._absent(key, required)
            return None
        if isinstance(value, bool) or not (isinstance(value, str) or _fits(value)):
            self.fail(key, "STRING_TYPE_CONVERT", f'Could not interpret "{_short(value)}" as string.')
            return None
        text = str(value).replace("\0", "")
        if shown and not text.strip():
            self._absent(key, required)
            return None
        if len(text) > longest or len(text) < shortest:
            if shortest:
                said = f"Must be between {shortest} and {longest} in length."
                self.fail(key, "BASE_TYPE_BAD_LENGTH", said)
                return None
            self.fail(key, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")
            return None
        return text

    def url(
        self,
        key: str,
        *,
        longest: int,
        required: bool = False,
        schemes: Sequence[str] = ("http", "https"),
    ) -> str | None:
        """A URL with one of these schemes and a host. Clients open it, so nothing else gets in."""
        text = self.text(key, longest=longest, required=required)
        if not text:
            if text is not None and required:
                self._absent(key, required)
            return None
        if not _is_url(text, schemes):
            self.fail(key, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
            return None
        return text

    def integers(self, key: str, *, most: int, largest: int) -> list[int] | None:
        """A list of small whole numbers, each once."""
        return self._numbers(key, most, largest, "int")

    def refuse(self, key: str, why: str) -> None:
        """The field is not supported: refused by its name, unless it says nothing."""
        value = self.body.get(key)
        if value not in (None, False, 0, "", [], {}):
            self.fail(key, "BASE_TYPE_UNSUPPORTED", why)

    def integer(
        self, key: str, *, least: int = 0, most: int = _MAX_INT, required: bool = False
    ) -> int | None:
        """A whole number, or a string that shows one."""
        value = self.body.get(key)
        if value is None:
            self._absent(key, required)
            return None
        number = _whole(value)
        if number is None:
            self.fail(key, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not int.')
            return None
        if number < least:
            self.fail(key, "NUMBER_TYPE_MIN", f"int value should be greater than or equal to {least}.")
            return None
        if number > most:
            self.fail(key, "NUMBER_TYPE_MAX", f"int value should be less than or equal to {most}.")
            return None
        return number

    def snowflake(self, key: str, *, required: bool = False) -> int | None:
        """An id, as a string or a number."""
        value = self.body.get(key)
        if value is None:
            self._absent(key, required)
            return None
        number = _whole(value)
        if number is None or not 0 <= number <= MAX_ID:
            self.fail(key, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not snowflake.')
            return None
        return number

    def snowflakes(self, key: str, *, most: int) -> list[int] | None:
        """A list of ids, each once."""
        return self._numbers(key, most, MAX_ID, "snowflake")

    def _numbers(self, key: str, most: int, largest: int, kind: str) -> list[int] | None:
        items = self._list(key, most)
        if items is None:
            return None
        found: list[int] = []
        for place, value in enumerate(items):
            number = _whole(value)
            if number is None or not 0 <= number <= largest:
                self._deep(key, place, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not {kind}.')
            else:
                found.append(number)
        return list(dict.fromkeys(found))

    def words(self, key: str, *, known: Sequence[str]) -> list[str] | None:
        """A list of words out of a few."""
        items = self._list(key, 100)
        if items is None:
            return None
        for place, value in enumerate(items):
            if not isinstance(value, str) or value not in known:
                self._deep(key, place, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(known)}}}.")
        return [value for value in items if isinstance(value, str) and value in known]

    def boolean(self, key: str) -> bool | None:
        """True or false."""
        value = self.body.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.fail(key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        return None

    def child(self, key: str, read: "Callable[[Form], _T]") -> _T | None:
        """An object, read by `read`."""
        value = self.body.get(key)
        if value is None:
            return None
        form = Form(value)
        result = read(form)
        if form.errors:
            self.errors[key] = form.errors
        return result

    def children(
        self, key: str, read: "Callable[[Form], _T]", *, most: int, least: int = 0, required: bool = False
    ) -> list[_T] | None:
        """A list of objects, each read by `read`."""
        items = self._list(key, most)
        if items is None:
            if self.body.get(key) is None:
                self._absent(key, required)
            return None
        if len(items) < least:
            self.fail(key, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
            return None
        found = []
        for place, value in enumerate(items):
            form = Form(value)
            found.append(read(form))
            if form.errors:
                self.errors.setdefault(key, {})[str(place)] = form.errors
        return found

    def _list(self, key: str, most: int) -> list[Any] | None:
        value = self.body.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            self.fail(key, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
            return None
        if len(value) > most:
            self.fail(key, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
            return None
        return value

    def _deep(self, key: str, place: int, code: str, message: str) -> None:
        self.errors.setdefault(key, {})[str(place)] = {"_errors": [_error(code, message)]}

    def _absent(self, key: str, required: bool) -> None:
        if required:
            self.fail(key, "BASE_TYPE_REQUIRED", "This field is required")


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value[:64]
    if isinstance(value, bool | float | None) or _fits(value):
        return str(value)
    return (
        "a very large number"
        if isinstance(value, int)
        else "an object"
        if isinstance(value, Mapping)
        else "a list"
    )


def _fits(value: Any) -> bool:
    """Whether it is a whole number that can be written down; Python refuses those of thousands of digits."""
    return isinstance(value, int) and abs(value) < 1 << 128


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port is not False
    except ValueError:
        return False


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if _fits(value) else None
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_INT:
        return int(value)
    return None
