"""What one of each thing costs, as benchmarks measured it; kept in units.json beside this module.

Times are CPU microseconds of the process named. `python -m benchmarks.capacity_check --write-units` measures them
again on the machine it runs on.
"""

from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Gateway", "Service", "Units", "UnitsError", "load_units", "save_units"]

_NAME: Final = "units.json"


class UnitsError(Exception):
    """The file of unit costs cannot be read; the message says why."""


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway process."""

    idle_us: float
    """A second, whatever happens."""
    message_us: float
    """Accepting a message."""
    entry_us: float
    """Taking one from the inbox."""
    delivery_us: float
    """Writing it to one socket."""
    base_bytes: float
    """Memory without sessions."""
    session_bytes: float
    """Memory of a session."""


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another process: a worker or a store."""

    idle_us: float
    """A second, whatever happens."""
    message_us: float
    """A message in a large batch; of a store, a message on its whole way."""
    batch_us: float = 0
    """A batch, besides its messages."""
    append_us: float = 0
    """One message to one inbox."""


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them."""

    machine: str
    """What they were measured on."""
    cycle_s: float
    """How long a worker is busy with a small batch: what comes meanwhile is in the next one."""
    gateway: Gateway
    fanout: Service
    notifier: Service
    archiver: Service
    redis: Service
    kafka: Service
    postgres: Service
    frame_bytes: float
    """Of a delivery, to one socket."""
    entry_bytes: float
    """Of a message in an inbox."""
    log_bytes: float
    """Of a message in chat.events and chat.deliveries together, one replica."""
    row_bytes: float
    """Of a message in the database, its indexes included."""
    registration_bytes: float
    """Of a session in Redis."""


def load_units(path: Path | None = None) -> Units:
    """The unit costs in a file; default, those that come with Fanfare.

    Raises:
        UnitsError: there is no such file, or it does not hold them.

    """
    try:
        text = path.read_bytes() if path else resources.files(__package__).joinpath(_NAME).read_bytes()
        return msgspec.json.decode(text, type=Units)
    except (OSError, msgspec.DecodeError) as error:
        raise UnitsError(f"no unit costs in {path or _NAME}: {error}") from None


def save_units(units: Units, path: Path | None = None) -> None:
    """Keep them; default, as those that come with Fanfare."""
    target = path or Path(__file__).with_name(_NAME)
    target.write_bytes(msgspec.json.format(msgspec.json.encode(units), indent=2) + b"\n")
