"""A gateway leaves while sockets come through a proxy that asks now and then who is ready: none of them is refused."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from websockets.asyncio.client import connect

from tests.cases.extra_gateway import STOPPED_S, Certificate, Extra, extra_gateway
from tests.stack import Stack

NEW_S = 0.05


class Proxy:
    """A proxy of TCP connections, in turn to those that have said they are ready."""

    def __init__(
        self, gateways: list[Extra], every_s: float, tls: ssl.SSLContext | None, *, healthz: bool
    ) -> None:
        self._gateways, self._every_s, self._tls, self._healthz = gateways, every_s, tls, healthz
        self.ready = list(gateways)
        self._turn = itertools.count()
        self._pipes: set[asyncio.Task[None]] = set()

    async def ask(self) -> None:
        """Ask all of them, for ever, as load balancers do."""
        async with aiohttp.ClientSession() as http:
            while True:
                for gateway in self._gateways:
                    await self._ask(http, gateway)
                await asyncio.sleep(self._every_s)

    async def _ask(self, http: aiohttp.ClientSession, gateway: Extra) -> None:
        address = urlsplit(gateway.node.gateway)
        url = f"{gateway.node.internal}/readyz"
        if self._healthz:
            url = f"{'https' if self._tls else 'http'}://{address.netloc}/healthz"
        status = 0
        with suppress(aiohttp.ClientError):
            async with http.head(url, ssl=self._tls or True) as answer:
                status = answer.status
        if status == 200 and gateway not in self.ready:
            self.ready.append(gateway)
        elif status != 200 and gateway in self.ready:
            self.ready.remove(gateway)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        chosen = self.ready[next(self._turn) % len(self.ready)]
        address = urlsplit(chosen.node.gateway)
        try:
            there, back = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer))

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def _through(proxy: Proxy) -> AsyncIterator[int]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    asking = asyncio.create_task(proxy.ask())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asking.cancel()
        server.close()


@pytest.mark.parametrize(
    ("every_s", "unready_s", "healthz", "tls"),
    [(2.0, 5.0, False, False), (0.5, 1.5, True, False), (0.5, 1.5, True, True)],
    ids=["readyz", "healthz", "healthz under TLS"],
)
async def test_f4_no_new_socket_is_refused(
    stack: Stack, tmp_path: Path, every_s: float, unready_s: float, *, healthz: bool, tls: bool
) -> None:
    certificate = Certificate.made_in(tmp_path) if tls else None
    settings = {"FANFARE_UNREADY_S": str(unready_s), "FANFARE_DRAIN_S": "0.5"}
    settings |= certificate.settings if certificate else {}
    context = certificate.context() if certificate else None
    greeted: list[bytes | str] = []

    async def client(port: int) -> None:
        url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/gateway/?v=10&encoding=json"
        async with connect(url, ssl=context, proxy=None, open_timeout=STOPPED_S) as socket:
            greeted.append(await socket.recv())

    async with (
        extra_gateway(stack, "gateway.first", **settings) as first,
        extra_gateway(stack, "gateway.second", **settings) as second,
        _through(Proxy([first, second], every_s, context, healthz=healthz)) as port,
        asyncio.timeout(STOPPED_S),
        # A client that is refused raises here.
        asyncio.TaskGroup() as clients,
    ):
        for at in itertools.count():
            clients.create_task(client(port))
            await asyncio.sleep(NEW_S)
            if at == 20:
                first.process.terminate()
            if first.process.returncode is not None:
                break
    assert first.process.returncode == 0
    assert len(greeted) == at + 1


async def test_f4_without_a_time_it_leaves_at_once(stack: Stack) -> None:
    async with extra_gateway(stack, "gateway.quick", FANFARE_DRAIN_S="0") as extra:
        extra.process.terminate()
        async with asyncio.timeout(STOPPED_S):
            assert await extra.process.wait() == 0


async def test_c4_health_on_the_port_while_it_takes_sockets_and_while_it_leaves(stack: Stack) -> None:
    async with extra_gateway(stack, "gateway.asked", FANFARE_UNREADY_S="30", FANFARE_DRAIN_S="0") as extra:
        url = f"http://{urlsplit(extra.node.gateway).netloc}"
        async with aiohttp.ClientSession() as http:

            async def asked(method: str, path: str) -> int:
                async with http.request(method, url + path) as answer:
                    return answer.status

            assert [await asked(method, "/healthz") for method in ("GET", "HEAD")] == [200, 200]
            assert await asked("GET", "/gateway/") == 426
            extra.process.terminate()
            async with asyncio.timeout(STOPPED_S):
                while await asked("GET", "/healthz") == 200:
                    await asyncio.sleep(0.05)
            assert [await asked(method, "/healthz") for method in ("GET", "HEAD")] == [503, 503]
            async with connect(extra.node.gateway, proxy=None) as socket:
                assert await socket.recv(), "until whoever balances the load has noticed, sockets are taken"
