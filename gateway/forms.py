"""Reading JSON bodies from clients: tolerant of nulls, unknown keys and numbers for ids. Pure.

A `Form` collects what is wrong, so that one answer names every wrong field, nested as Discord nests them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from gateway.errors import ApiError, FormError

__all__ = ["Form", "body_of", "forms_of"]

_T = TypeVar("_T")

_MAX_ID: Final = (1 << 63) - 1
_MAX_INT: Final = (1 << 53) - 1


def body_of(raw: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        ApiError: 50109, it is not JSON.

    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from error


def forms_of(body: Any, most: int) -> "list[Form]":
    """The objects of a body that is a list. Raises: FormError: it is none, or longer than `most`."""
    if not isinstance(body, list):
        said = {"code": "LIST_TYPE_CONVERT", "message": "Only iterables may be used in a ListType"}
        raise FormError({"_errors": [said]})
    if len(body) > most:
        said = {"code": "BASE_TYPE_MAX_LENGTH", "message": f"Must be {most} or fewer in length."}
        raise FormError({"_errors": [said]})
    return [Form(one) for one in body]


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

    def text(self, key: str, *, longest: int, shortest: int = 0, required: bool = False) -> str | None:
        """A string; lengths in characters. NUL characters are left out, no store holds them."""
        value = self.body.get(key)
        if value is None:
            self._absent(key, required)
            return None
        if isinstance(value, bool | Mapping | list | float) or not isinstance(value, str | int):
            self.fail(key, "STRING_TYPE_CONVERT", f'Could not interpret "{_short(value)}" as string.')
            return None
        text = str(value).replace("\0", "")
        if len(text) > longest or len(text) < shortest:
            if shortest:
                said = f"Must be between {shortest} and {longest} in length."
                self.fail(key, "BASE_TYPE_BAD_LENGTH", said)
                return None
            self.fail(key, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")
            return None
        return text

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
        if number is None or not 0 <= number <= _MAX_ID:
            self.fail(key, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not snowflake.')
            return None
        return number

    def snowflakes(self, key: str, *, most: int) -> list[int] | None:
        """A list of ids, each once."""
        found: list[int] = []
        items = self._list(key, most)
        if items is None:
            return None
        for place, value in enumerate(items):
            number = _whole(value)
            if number is None or not 0 <= number <= _MAX_ID:
                self._deep(key, place, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not snowflake.')
            else:
                found.append(number)
        return list(dict.fromkeys(found))

    def words(self, key: str, *, known: Sequence[str]) -> list[str] | None:
        """A list of words out of a few."""
        items = self._list(key, 100)
        if items is None:
            return None
        for place, value in enumerate(items):
            if value not in known:
                self._deep(key, place, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(known)}}}.")
        return [value for value in items if value in known]

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

    def children(self, key: str, read: "Callable[[Form], _T]", *, most: int) -> list[_T] | None:
        """A list of objects, each read by `read`."""
        items = self._list(key, most)
        if items is None:
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
    return str(value)[:64]


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.lstrip("-").isdigit():
        return int(value) if value.count("-") <= 1 else None
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_INT:
        return int(value)
    return None
