"""The one error that `fanfare up` and its kin show to people."""

__all__ = ["UpError"]


class UpError(Exception):
    """Something a person has to know or change; the message is one line and says what to do."""
