"""F3: certificates that are renewed, and why TLS failed; against real servers in this process."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanfare.bus.client import tls_problem as kafka_problem
from fanfare.presence.client import tls_problem as redis_problem
from fanfare.settings import Settings, SettingsError
from fanfare.store import StoreUnavailableError
from fanfare.store.database import dial
from fanfare.tls import Certificate, Problem, client_context, problem, reason, reload_clients
from tests.cases.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Echo(asyncio.Protocol):
    """Says something itself, as some stores do when they get nonsense, and then sends back what comes."""

    def __init__(self, open_ones: set[asyncio.Transport]) -> None:
        self._open = open_ones

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._open.add(transport)
        if transport.get_extra_info("sslcontext") is None:
            transport.write(b"-ERR no TLS here\r\n")

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self._transport)


@contextlib.asynccontextmanager
async def server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """A server: its port."""
    open_ones: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Echo(open_ones), "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for transport in open_ones:
            transport.abort()
        await asyncio.sleep(0)


def serving(authority: Authority, *hosts: str, days: int = 2) -> ssl.SSLContext:
    return Certificate(*authority.issue("server", *hosts, days=days)).context


async def shown(port: int, authority: Authority) -> bytes:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=ssl.create_default_context(cafile=authority.pem)
    )
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return found


async def test_f3_new_connections_get_the_new_certificate_and_old_ones_stay(authority):
    certificate = Certificate(*authority.issue("server"))
    async with server(certificate.context) as port:
        trust = ssl.create_default_context(cafile=authority.pem)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        first = await shown(port, authority)
        authority.issue("server")
        assert await shown(port, authority) == first, "not before it is asked to"
        certificate.reload()
        second = await shown(port, authority)
        assert second != first
        authority.issue("server")
        certificate.reload()
        assert await shown(port, authority) not in {first, second}
        writer.write(b"still there\n")
        assert await reader.readline() == b"still there\n"
        writer.transport.abort()


@pytest.mark.parametrize("broken", ["nothing", "no PEM", "half of it", "another's key", "gone", "a password"])
async def test_f3_a_broken_new_file_leaves_the_old_certificate(authority, broken):
    cert, key = authority.issue("server")
    certificate = Certificate(cert, key)
    async with server(certificate.context) as port:
        first = await shown(port, authority)
        other, other_key = authority.issue("other")
        match broken:
            case "nothing":
                cert.write_bytes(b"")
            case "no PEM":
                key.write_bytes(b"\0" * 100)
            case "half of it":
                cert.write_bytes(other.read_bytes()[:300])
            case "another's key":
                key.write_bytes(other_key.read_bytes())
            case "gone":
                cert.unlink()
            case "a password":
                key.write_text(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----"
                )
        with pytest.raises(SettingsError, match="FANFARE_TLS_CERT and FANFARE_TLS_KEY"):
            certificate.reload()
        assert await shown(port, authority) == first


async def test_f3_less_than_tls_1_2_is_refused(authority):
    old = ssl.create_default_context(cafile=authority.pem)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with server(serving(authority)) as port:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=old)


async def test_f3_the_reason_is_said(authority, tmp_path):
    trusted = client_context("FANFARE_TEST", authority.pem)
    (tmp_path / "stranger").mkdir()
    stranger = client_context("FANFARE_TEST", Authority(tmp_path / "stranger").pem)
    async with server(serving(authority)) as port:
        assert await problem("127.0.0.1", port, trusted) == ""
        assert "unable to get local issuer" in await problem("127.0.0.1", port, stranger)
        assert await problem("127.0.0.1", port, None) == Problem.TLS
    async with server(serving(authority, "elsewhere.example")) as port:
        assert "not valid for '127.0.0.1'" in await problem("127.0.0.1", port, trusted)
    async with server(serving(authority, days=-1)) as port:
        assert "has expired" in await problem("127.0.0.1", port, trusted)
    async with server(None) as port:
        assert await problem("127.0.0.1", port, trusted) == Problem.PLAIN
        assert await problem("127.0.0.1", port, None) == ""
    # Nobody is there.
    assert await problem("127.0.0.1", port, trusted) == await problem("127.0.0.1", port, None) == ""


async def test_f3_a_server_that_wants_our_certificate_says_so(authority):
    context = serving(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.pem)
    async with server(context) as port:
        bare = client_context("FANFARE_TEST", authority.pem)
        assert await problem("127.0.0.1", port, bare) == Problem.CLOSED
        own = client_context("FANFARE_TEST", authority.pem, *authority.issue("client", "fanfare"))
        assert await problem("127.0.0.1", port, own) == ""


async def test_f3_a_renewed_authority_counts_for_clients_that_are_there(tmp_path):
    """The file of the authority is another one after a renewal; clients hold a context of before."""
    (tmp_path / "new").mkdir()
    before, after = Authority(tmp_path), Authority(tmp_path / "new")
    held = client_context("FANFARE_TEST", before.pem)
    async with server(serving(after)) as port:
        assert await problem("127.0.0.1", port, held)
        before.pem.write_bytes(b"broken")
        assert any("FANFARE_TEST_CA" in said for said in reload_clients())
        assert await problem("127.0.0.1", port, held)
        before.pem.write_bytes(after.pem.read_bytes())
        assert reload_clients() == []
        assert await problem("127.0.0.1", port, held) == ""


async def test_f3_errors_of_kafka_and_redis_name_address_setting_and_reason(authority):
    async with server(serving(authority, days=-1)) as port:
        kafka = Settings(kafka=f"127.0.0.1:{port}", kafka_security="SSL", kafka_ca=authority.pem)
        said = await kafka_problem(kafka)
        assert said == (
            f"127.0.0.1:{port}: its certificate is not accepted: certificate has expired; "
            f"FANFARE_KAFKA_CA is {authority.pem}"
        )
        plain = kafka.model_copy(update={"kafka_security": "PLAINTEXT"})
        assert "set it to SSL or SASL_SSL" in await kafka_problem(plain)
        redis = Settings(redis=f"rediss://u:secret@127.0.0.1:{port}/0")
        said = await redis_problem(redis)
        assert "has expired" in said or "unable to get local issuer" in said
        assert "FANFARE_REDIS_CA is not set" in said
        assert "secret" not in said
        assert "needs rediss://" in await redis_problem(Settings(redis=f"redis://127.0.0.1:{port}/0"))


async def test_f3_an_error_of_postgresql_has_its_reason(authority, tmp_path):
    async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, ssl.SSLError):
            await reader.readexactly(8)
            writer.write(b"S")
            await writer.start_tls(context)
        writer.transport.abort()

    for hosts, days, root, why in (
        (("elsewhere.example",), 2, authority.pem, "Hostname mismatch"),
        ((), -1, authority.pem, "has expired"),
        ((), 2, "system", "unable to get local issuer"),
    ):
        context = serving(authority, *hosts, days=days)
        listening = await asyncio.start_server(postgres, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailableError) as away:
            await dial(f"postgresql://u:p@localhost:{port}/d?sslmode=verify-full&sslrootcert={root}")
        assert why.lower() in reason(away.value).lower()
        listening.close()
