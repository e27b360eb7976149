"""The settings of this process, read from `FANFARE_*` variables only.

A `FANFARE_*` variable that is no setting is refused, so that a typo is not ignored in silence; but not what Kubernetes
makes for Services by itself.
"""

import difflib
import os
from collections.abc import Mapping
from functools import cache

from pydantic import ValidationError

from fanfare.service_links import is_service_link
from fanfare.settings import PREFIX, Settings, SettingsError
from fanfare.settings_rules import problems

__all__ = ["load_settings"]


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a variable is unknown or its value cannot be used; the message has all that is wrong.

    """
    said = [*_unknown(os.environ), *_wrapped(os.environ)]
    try:
        settings = _read()
    except ValidationError as error:
        said += [
            f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
    else:
        said += problems(settings)
    if said:
        raise SettingsError("; ".join(said))
    return settings


def _unknown(environment: Mapping[str, str]) -> list[str]:
    """What is wrong with the names of variables."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = [
        name
        for name, value in sorted(environment.items())
        if name.upper().startswith(PREFIX) and name not in known and not is_service_link(name, value)
    ]
    said = []
    for name in unknown:
        if name.upper() in known:
            said.append(f"{name} has to be written in capitals: {name.upper()}")
        elif near := difflib.get_close_matches(name, known, 1, 0.8):
            said.append(f"unknown setting {name}: did you mean {near[0]}?")
        else:
            said.append(f"unknown setting {name}: unset it")
    if said:
        said.append("the known ones are " + ", ".join(sorted(known)))
    return said


def _wrapped(environment: Mapping[str, str]) -> list[str]:
    """What stands around values and cannot be meant, such as the quotation marks that Docker's --env-file keeps."""
    said = []
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX) or not value:
            continue
        if value != value.strip():
            said.append(f"{name} begins or ends with a space or a line's end: write the value without")
        elif len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            said.append(f"{name} stands in quotation marks, which belong to the value: write it without them")
    return said


@cache
def _read() -> Settings:
    return Settings()
