"""What commands look at that watch a running system: the settings with its stores, and its processes."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from fanfare.cli.check import settings_of_stores
from fanfare.embedded.folder import DataFolder, NotRunningError
from fanfare.observe.collect import Endpoint
from fanfare.settings import Settings

__all__ = ["run_here", "running"]


def running(addresses: Sequence[str]) -> tuple[Settings, Callable[[], list[Endpoint]]]:
    """The settings with the addresses of the stores, and what names the processes.

    Args:
        addresses: of the internal servers of processes; none: the processes are those of the `fanfare up` in this
            data folder, or unknown where the settings name other stores.

    Raises:
        SettingsError: a store has no address.

    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what it raises, and more
    settings = settings_of_stores()
    folder = DataFolder(settings.home)
    if addresses:
        given: list[Endpoint] = [{"internal": _url(address)} for address in addresses]
        return settings, lambda: given
    if folder.holder() is None:
        return settings, list
    return settings, lambda: folder.read_state()["processes"]


def run_here(settings: Settings) -> dict[str, Any]:
    """What the `fanfare up` of this data folder says of itself: `run.json`. Raises: UpError: there is none."""
    try:
        run: dict[str, Any] = json.loads(DataFolder(settings.home).run_file.read_text("utf-8"))
    except (OSError, ValueError):
        raise NotRunningError(
            f"fanfare is not running in {settings.home}: start it with `fanfare up`"
        ) from None
    return run


def _url(address: str) -> str:
    return (address if "//" in address else f"http://{address}").rstrip("/")
