"""TLS: the certificate of the public ports, the contexts by which stores are reached, and why a connection failed.

Certificates are renewed while a process runs: SIGHUP makes it read the files again. New connections use what was read.
A file that cannot be used changes nothing, and is reported.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from fanfare.settings import SettingsError

__all__ = ["Certificate", "Problem", "client_context", "problem", "reason", "reload_clients"]

_PROBE_S: Final = 2.0
# Long enough for a server that rejects us to say so after the handshake.
_WORD_S: Final = 0.5
# How OpenSSL says that what came is no TLS.
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING")


class Problem(StrEnum):
    """What keeps a client from a server, besides what OpenSSL has words for."""

    PLAIN = "it does not speak TLS"
    TLS = "it speaks TLS"
    CLOSED = "it closed the connection after the handshake: it probably wants a client certificate"


class Certificate:
    """The certificate and key of the public ports."""

    def __init__(self, cert: Path, key: Path | None) -> None:
        """Read the files.

        Raises:
            SettingsError: they cannot be used.

        """
        self._cert, self._key = cert, key
        self._current = self.context = self._read()
        # Called for each handshake, also where the client names no host.
        self.context.sni_callback = self._choose

    def reload(self) -> None:
        """Read the files again: for new connections; those that are there stay as they are.

        Raises:
            SettingsError: they cannot be used; the certificate that was read before stays.

        """
        self._current = self._read()

    def _choose(self, connection: ssl.SSLObject, _name: str | None, asked: ssl.SSLContext) -> None:
        if self._current is not asked:
            connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # A password of nothing, so that a key that has one is an error and no question at a terminal.
            context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"FANFARE_TLS_CERT and FANFARE_TLS_KEY cannot be used: {reason(error) or error}"
            ) from None
        return context


class _Client:
    """A context for connections to a store."""

    def __init__(self, setting: str, ca: Path | None, cert: Path | None, key: Path | None) -> None:
        self._setting, self._ca, self._cert, self._key = setting, ca, cert, key
        self.context = self._read()

    def reload(self) -> None:
        """Read the files again, into the context that the clients hold."""
        self._read()  # files that cannot be used must not take effect by halves
        if self._ca is not None:
            self.context.load_verify_locations(self._ca)
        if self._cert is not None:
            self.context.load_cert_chain(self._cert, self._key, password="")

    def _read(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._cert is not None:
                context.load_cert_chain(self._cert, self._key, password="")
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"{self._setting}_CA, _CERT or _KEY cannot be used: {reason(error) or error}"
            ) from None
        return context


_clients: dict[tuple[str, Path | None, Path | None, Path | None], _Client] = {}


def client_context(
    setting: str, ca: Path | None, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """A context that verifies a store's certificate and host name; the same one for the same files.

    Args:
        setting: what the names of the settings begin with, such as FANFARE_KAFKA.
        ca: PEM file of the authority, then the only one that is trusted; None: those that the system trusts.
        cert: PEM file of our own certificate.
        key: PEM file of its key.

    Raises:
        SettingsError: a file cannot be used.

    """
    name = (setting, ca, cert, key)
    found = _clients.get(name)
    if found is None:
        found = _clients[name] = _Client(setting, ca, cert, key)
    return found.context


def reload_clients() -> list[str]:
    """Read the files of all contexts again; returns what could not be used: those contexts stay as they were."""
    said = []
    for client in _clients.values():
        try:
            client.reload()
        except SettingsError as error:
            said.append(str(error))
    return said


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def reason(error: BaseException) -> str:
    """What TLS had against a connection, in words; '' if the error is of another kind."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {each.verify_message.rstrip('.')}"
        if isinstance(each, ssl.SSLError):
            if each.reason in _PLAIN:
                return Problem.PLAIN
            said = (each.reason or str(each)).lower().replace("_", " ")
            return f"TLS failed: {said}"
    return ""


async def problem(host: str, port: int, context: ssl.SSLContext | None, *, plain: bytes = b"") -> str:
    """Why TLS, or that there is none, keeps us from a server; '' where it is not that.

    Args:
        host: of the server.
        port: of the server.
        context: by which we speak TLS with it; None: we do not.
        plain: a question that it answers if it speaks no TLS; for a server that says nothing to a handshake.

    """
    try:
        if context is None:
            async with asyncio.timeout(_PROBE_S):
                return Problem.TLS if await _speaks_tls(host, port) else ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_S):
                return await _refused(host, port, context)
        async with asyncio.timeout(_PROBE_S):
            return Problem.PLAIN if plain and await _answers(host, port, plain) else ""
    except (OSError, TimeoutError, EOFError):
        return ""


async def _answers(host: str, port: int, question: bytes) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        return bool(await reader.read(1))
    finally:
        writer.transport.abort()


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a handshake works. The server's identity is not verified, because nothing is sent after the handshake."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=anybody)
    except ssl.SSLError:
        return False
    writer.transport.abort()
    return True


async def _refused(host: str, port: int, context: ssl.SSLContext) -> str:
    writer = None
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
        # Under TLS 1.3 a server says only after the handshake that it wants a certificate of ours.
        with contextlib.suppress(TimeoutError):
            if not await asyncio.wait_for(reader.read(1), _WORD_S):
                return Problem.CLOSED
    except ssl.SSLError as error:
        why = reason(error)
        return Problem.CLOSED if "certificate required" in why else why
    except ConnectionResetError:
        return Problem.PLAIN if writer is None else Problem.CLOSED
    finally:
        if writer is not None:
            writer.transport.abort()
    return ""
