"""The database: users, guilds, channels, messages and the outbox."""

from fanfare.store.changes import Change
from fanfare.store.errors import NameTakenError, NotFoundError, StoreError, StoreUnavailableError
from fanfare.store.store import Store

__all__ = [
    "Change",
    "NameTakenError",
    "NotFoundError",
    "Store",
    "StoreError",
    "StoreUnavailableError",
]
