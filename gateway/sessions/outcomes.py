"""How a start ends if it does not end well."""

from gateway.protocol.codes import CloseCode

__all__ = ["EndError", "InvalidSessionError", "come_again"]


class EndError(Exception):
    """The connection has to be closed."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class InvalidSessionError(Exception):
    """The session cannot be resumed whole: the client is told, and identifies anew. The message is for metrics."""


def come_again(why: str) -> EndError:
    """The connection has to be closed; the session can be resumed."""
    return EndError(CloseCode.UNKNOWN_ERROR, f"{why}: reconnect and resume")
