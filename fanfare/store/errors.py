"""What can go wrong in the database, as callers tell it apart."""

from fanfare.trouble import Trouble

__all__ = ["NameTakenError", "NotFoundError", "StoreError", "StoreUnavailableError"]


class StoreError(Exception):
    """Something the database cannot do; `retriable` says whether the same call may succeed later."""

    retriable: bool = False


class StoreUnavailableError(StoreError):
    """PostgreSQL is away, or says no for a reason that has nothing to do with what was asked: try again later."""

    retriable = True
    retry_after_s = 1.0

    def __init__(self, why: str, trouble: Trouble = Trouble.AWAY) -> None:
        """Args: why: for people. trouble: what is the matter with PostgreSQL."""
        super().__init__(why)
        self.trouble = trouble


class NotFoundError(StoreError):
    """What should be changed does not exist; `what` is its kind (guild, channel, role, member, user...)."""

    def __init__(self, what: str, ident: int) -> None:
        super().__init__(f"there is no {what} {ident}")
        self.what = what
        self.ident = ident


class NameTakenError(StoreError):
    """Somebody else has that user name (upper and lower case count as the same)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the user name {name!r} is taken: choose another one")
        self.name = name
