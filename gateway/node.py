"""One gateway node: the parts put together, and its life from the first listening socket to the drained end."""

import asyncio
import random
import resource
import secrets
import socket
import ssl
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from typing import Any, Final

from aiohttp import web

from fanfare.addresses import reach, url_host
from fanfare.bus.errors import KafkaError
from fanfare.bus.grow import attend
from fanfare.bus.growth import GrowthLog
from fanfare.bus.producer import Producer
from fanfare.bus.read_since import nonces_since
from fanfare.bus.topics import APP_EVENTS, DELIVERIES_OF, GROWTH
from fanfare.files.store import FileStore
from fanfare.presence.client import connect, connect_apart
from fanfare.presence.errors import RedisError
from fanfare.presence.inboxes import InboxGoneError
from fanfare.presence.loss_token import LossToken
from fanfare.presence.snowflake_leases import SnowflakeLease
from fanfare.service import Service, State
from fanfare.settings import Settings, SettingsError
from fanfare.store import Store, revocations
from fanfare.store.outbox import relay
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.tls import Certificate
from gateway import metrics
from gateway.accounts import Accounts
from gateway.background import Background
from gateway.connection import Connection
from gateway.delivery.hub import Hub
from gateway.delivery.inbox_reader import NodeInbox
from gateway.delivery.member_chunks import MemberRequests
from gateway.delivery.session import Session
from gateway.delivery.writing import fastest
from gateway.guilds.cache import GuildCache
from gateway.guilds.idle_threads import archive_idle_threads
from gateway.ingress.assembly import assemble
from gateway.ingress.ingress import Ingress
from gateway.ingress.traced_log import TracedLog
from gateway.listening.admission import Admission, Room, admission_of
from gateway.listening.listener import BACKLOG, Listener
from gateway.location.assembly import Location
from gateway.location.routes import add_location
from gateway.location.watch_list import SocketWatcher
from gateway.pages import add_pages
from gateway.protocol.codes import CloseCode
from gateway.protocol.member_requests import RequestMembers
from gateway.recovery.fences import Fences
from gateway.registrations import HoleError, PresenceWriter
from gateway.rest import RestContext, make_app, start_rest
from gateway.rest.multipart import Uploads
from gateway.sessions.joining import Joining
from gateway.sessions.keep_moves import keep_moves
from gateway.sessions.repair import Repairer
from gateway.sessions.start import Starter
from gateway.statuses.assembly import UserStatuses
from gateway.timers import Wheel

__all__ = ["Node", "main"]

_RETRY_S: Final = 0.5
_READY_S: Final = 10.0
_SWEEP_S: Final = 1.0
# After asking clients to reconnect they have this long to close by themselves.
_GRACE_S: Final = 1.0


class Node:
    """What connections, REST and the inbox share."""

    def __init__(
        self,
        *,
        hub: Hub,
        starter: Starter,
        guilds: GuildCache,
        presence: PresenceWriter,
        store: Store,
        ingress: Ingress,
        admission: Admission,
        background: Background,
        location: Location,
        statuses: UserStatuses,
    ) -> None:
        self.hub = hub
        self.starter = starter
        self.wheel = Wheel()
        self.connections: set[Connection] = set()
        self.admission = admission
        self.healthy = False
        """Whether a load balancer is to send clients here."""
        self.open = True
        """Whether new sockets are taken."""
        self.log = logs.get("gateway")
        self._guilds = guilds
        self._presence = presence
        self._ingress = ingress
        self._location = location
        self._members = MemberRequests(hub, guilds, store, statuses.shown)
        self.status = statuses.status
        self.voice = statuses.voice
        self.spawn = background.spawn
        """Run a short piece of work besides."""

    async def publish(self, user: Any, body: bytes) -> dict[str, Any]:
        """Publish a message: the `d` of SENT."""
        return await self._ingress.publish(user, body)

    async def members(self, session: Session, asked: RequestMembers) -> None:
        """Send the chunks of a member request."""
        await self._members.answer(session, asked)

    async def locate(self, user: Any, body: bytes) -> dict[str, Any]:
        """Publish a position: the `d` of LOCATE."""
        return await self._location.locate(user, body)

    async def watch(self, watcher: SocketWatcher, body: bytes) -> dict[str, Any]:
        """Watch what a client asks for: the `d` of WATCH."""
        return await self._location.watch(watcher, body)

    def watching(self, watcher: SocketWatcher) -> None:
        """Its client knows what it watches."""
        self._location.watching.told(watcher)

    def watcher_blocked(self, watcher: SocketWatcher) -> None:
        """Its link takes nothing for now."""
        self._location.watching.blocked(watcher)

    def watcher_drained(self, watcher: SocketWatcher) -> None:
        """Its link takes something again."""
        self._location.watching.drained(watcher)

    def watcher_gone(self, watcher: SocketWatcher) -> None:
        """It watches no more."""
        self._location.watching.drop(watcher)

    def give_up(self) -> None:
        """Missed events cannot be had any more: tell every session, and forget all state that events keep current."""
        for connection in list(self.connections):
            if connection.session is not None:
                metrics.INVALID.labels("events not kept").inc()
                connection.invalidate()
        self.hub.clear()
        self._guilds.restart()

    async def sweep(self) -> None:
        """Do what has to be done now and then; a supervised task."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            away = self.hub.expire(time.monotonic())
            metrics.SESSIONS.labels("live").set(len(self.hub.sessions) - away)
            metrics.SESSIONS.labels("away").set(away)

    async def drain(self, window_s: float) -> None:
        """Ask the clients to reconnect, spread over the window, and close what is left; all stay resumable."""
        connections = list(self.connections)
        random.shuffle(connections)
        started = time.monotonic()
        for at, connection in enumerate(connections):
            due = started + window_s * at / len(connections)
            if due > time.monotonic():
                await asyncio.sleep(due - time.monotonic())
            connection.reconnect()
        await self._until_closed(_GRACE_S)
        for connection in list(self.connections):
            connection.stop(CloseCode.SERVICE_RESTART, "this node stops: reconnect and resume")
        await self._until_closed(_GRACE_S)
        for connection in list(self.connections):
            connection.abort()

    async def _until_closed(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


async def main(service: Service) -> None:
    """Run a gateway node until the service stops."""
    settings = service.settings
    async with AsyncExitStack() as stack:
        loss = LossToken()
        redis = connect(settings, client_name=f"fanfare-{service.name}", connected=loss.connected)
        stack.push_async_callback(redis.aclose)
        store = await Store.connect(settings)
        stack.push_async_callback(store.close)
        growth = GrowthLog(settings)
        stack.push_async_callback(growth.close)
        producer = Producer(settings, topics=[*DELIVERIES_OF, APP_EVENTS, GROWTH], growth=growth)
        await producer.start()
        await growth.start()
        stack.push_async_callback(producer.stop)
        worker = await stack.enter_async_context(SnowflakeLease(redis))

        node_id = secrets.token_hex(6)
        inbox = NodeInbox(settings, redis, node_id, service.traces)
        stack.push_async_callback(inbox.close)
        s = await inbox.begin()
        presence = PresenceWriter(redis, inbox.name)
        guilds = GuildCache(store, presence)
        background = Background()
        statuses = UserStatuses(
            redis=redis,
            node=node_id,
            registered=presence,
            guilds=guilds,
            log=_log(service, producer),
            ids=worker,
            hub=lambda: hub,
            store=store,
        )
        write = fastest(io_uring=settings.io_uring)
        hub = Hub(
            guilds=guilds,
            inbox=inbox.name,
            s=s,
            write=write,
            load_guild=Joining(
                guilds=guilds, presence=presence, background=background, shown=statuses.shown
            ).load,
            forgotten=lambda session: presence.remove(session.user.id, session.key),
            seen=worker.observe,
            changed=statuses.keeper.changed,
            people=statuses.shown,
        )
        fences = Fences(redis, producer, list(DELIVERIES_OF))
        accounts = _accounts(settings, store, hub)
        tails = await stack.enter_async_context(
            aclosing(connect_apart(settings, client_name=f"fanfare-{service.name}-tails"))
        )
        starter = Starter(
            settings,
            redis=redis,
            store=store,
            fences=fences,
            hub=hub,
            inbox=inbox,
            presence=presence,
            guilds=guilds,
            accounts=accounts,
            tails=tails,
            shown=statuses.shown,
        )
        files = FileStore(settings)
        ingress = assemble(
            settings,
            log=_log(service, producer),
            redis=redis,
            loss=loss,
            store=store,
            ids=worker,
            guilds=guilds,
            files=files,
            node=node_id,
            growth=growth,
        )
        ingress.start()
        stack.push_async_callback(ingress.close)
        location = Location(
            settings,
            node=node_id,
            redis=redis,
            store=store,
            log=producer,
            guilds=guilds,
            write=write,
            spawn=background.spawn,
        )
        stack.push_async_callback(location.close)
        room = Room(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        node = Node(
            hub=hub,
            starter=starter,
            guilds=guilds,
            presence=presence,
            store=store,
            ingress=ingress,
            admission=admission_of("gateway", settings, room),
            background=background,
            location=location,
            statuses=statuses,
        )
        repairer = Repairer(
            settings,
            redis=redis,
            producer=producer,
            fences=fences,
            hub=hub,
            inbox=inbox,
            presence=presence,
            give_up=node.give_up,
        )
        await repairer.start()

        service.problem = lambda: (
            presence.problem
            or worker.problem
            or producer.problem
            or growth.problem
            or inbox.problem
            or ingress.problem
        )

        async def repair(lost: InboxGoneError) -> None:
            if isinstance(lost, HoleError):
                # Nobody knows since when they were gone. So neither this node nor another one may go on with this
                # inbox.
                node.log.error(
                    "registrations are gone from Redis: all sessions begin anew", action=Action.INBOX_LOST
                )
                node.give_up()
                await inbox.destroy()
            # If Redis has lost writes, it may have lost nonces, too.
            ingress.lost()
            await repairer.repair()

        _supervise(
            service,
            (presence.run(), "presence"),
            (inbox.run(hub, repair, partial(_watch, presence, inbox)), "inbox"),
            (repairer.track(), "safe offsets"),
            (producer.follow(), "partitions"),
            (attend(settings, growth), "growth"),
            (guilds.sweep(), "guilds"),
            (archive_idle_threads(store), "idle threads"),
            (node.wheel.run(), "wheel"),
            (node.sweep(), "sweep"),
            (keep_moves(redis, hub), "moves"),
            (ingress.watch(), "nonces kept"),
            (revocations.follow(store, accounts.learn, accounts.caught_up), "revocations"),
            (statuses.keeper.run(), "statuses"),
            (statuses.keeper.watch(), "statuses left behind"),
            (statuses.keeper.see(), "users seen"),
            (statuses.teller.run(), "statuses told"),
            (location.run(), "told of positions"),
            (location.watching.renew(), "wishes for positions"),
            (relay(store, producer, service.stopping, partial(nonces_since, settings, APP_EVENTS)), "relay"),
        )

        app = _application(
            RestContext(
                settings, redis, store, guilds, ingress, worker, accounts, files, Uploads(), statuses
            ),
            location,
        )
        await _serve(service, node, app, room, ingress)


def _log(service: Service, producer: Producer) -> Producer | TracedLog:
    """Where what clients send goes."""
    return producer if service.traces is None else TracedLog(producer, service.traces)


def _supervise(service: Service, *works: tuple[Coroutine[Any, Any, None], str]) -> None:
    for work, name in works:
        _ = service.supervise(work, name)


def _application(context: RestContext, location: Location) -> web.Application:
    """All that is served over HTTP."""
    app = make_app(context)
    add_location(app, context, location)
    add_pages(app, context.settings)
    return app


async def _watch(presence: PresenceWriter, inbox: NodeInbox) -> None:
    """Look for holes in what is registered. Raises InboxGoneError; HoleError where the inbox itself is whole."""
    try:
        await presence.watch()
    except HoleError:
        # Where Redis was emptied as a whole, the log has what was missed.
        await inbox.confirm()
        raise


async def _serve(service: Service, node: Node, app: web.Application, room: Room, ingress: Ingress) -> None:
    """Take clients until the service stops; then let them go."""
    settings = service.settings
    tls = _certificate(service)
    listeners = [
        Listener(own, lambda: Connection(node), node.admission, tls)
        for own in _sockets(settings.host, settings.gateway_port, settings.gateway_fd)
    ]
    rest = await start_rest(
        app,
        _sockets(settings.host, settings.rest_port, settings.rest_fd),
        admission_of("rest", settings, room),
        tls,
    )
    for listener in listeners:
        await listener.start()
    scheme, web_scheme = ("wss", "https") if tls else ("ws", "http")
    host = url_host(reach(settings.host))
    service.facts = lambda: {
        "sessions": len(node.hub.roster.connected()),
        "address": f"{scheme}://{host}:{listeners[-1].port}/gateway/",
        "api": f"{web_scheme}://{host}:{rest.ports[-1]}/api/v10",
        "inbox": node.hub.inbox,
    }
    await _nonces_known(ingress)
    service.state = State.RUNNING
    node.healthy = True
    await service.stopping.wait()

    # First the load balancer is to notice; until then new clients are as welcome as before.
    node.healthy = False
    if not service.failed:
        await asyncio.sleep(settings.unready_s)
    node.open = False
    # If the public socket is shared with other nodes, our own stays open for health checks.
    listeners[0].close()
    rest.close()
    await node.drain(settings.drain_s)
    for listener in listeners[1:]:
        listener.close()
    await rest.stop()


def _accounts(settings: Settings, store: Store, hub: Hub) -> Accounts:
    secret = settings.secret.get_secret_value()
    if not secret:
        raise SettingsError("FANFARE_SECRET is not set: all gateways need the same one")
    return Accounts(secret, store, revoked=hub.revoke)


async def _nonces_known(ingress: Ingress) -> None:
    """Wait until sends with a nonce are taken; a store that is away does not keep the node from starting."""
    with suppress(RedisError, KafkaError, OSError):
        await asyncio.wait_for(ingress.ready(), _READY_S)


def _sockets(host: str, port: int, fd: int) -> list[socket.socket]:
    """The public listening socket, and the node's own where the public one is shared with other nodes."""
    if fd >= 0:
        return [socket.socket(fileno=fd), _bound(host, 0)]
    return [_bound(host, port)]


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # All addresses are those of both families, where there are two.
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {url_host(host)}:{port}: {error.strerror}; "
            "set FANFARE_GATEWAY_PORT, FANFARE_REST_PORT or FANFARE_HOST"
        ) from error


def _certificate(service: Service) -> ssl.SSLContext | None:
    """What the public ports speak TLS with; read again at each SIGHUP."""
    settings = service.settings
    if settings.tls_cert is None:
        return None
    certificate = Certificate(settings.tls_cert, settings.tls_key)
    service.reloads.append(certificate.reload)
    return certificate.context
