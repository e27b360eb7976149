"""`fanfare up` from the first check to the last stop."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fanfare.addresses import is_loopback
from fanfare.embedded import ports
from fanfare.embedded.child import Spec
from fanfare.embedded.control import serve
from fanfare.embedded.demo_load import DemoLoad
from fanfare.embedded.errors import UpError
from fanfare.embedded.fleet import Fleet
from fanfare.embedded.folder import DataFolder, write_atomically
from fanfare.embedded.follow import Follow
from fanfare.embedded.letters import Letters
from fanfare.embedded.output import Output
from fanfare.embedded.scaling import Changes
from fanfare.embedded.services import Addresses, Services, Sockets, parse_scale, read_procfile
from fanfare.embedded.supervisor import Supervisor
from fanfare.embedded.watch import Watch
from fanfare.settings import Settings
from fanfare.settings_rules import require_public

__all__ = ["Plan", "Run", "Stack"]

STORE_TIMEOUT_S = 120.0
SERVICE_TIMEOUT_S = 120.0
# A broker that has just opened its port may still be waiting to be admitted to its cluster.
TOPICS_TIMEOUT_S = 30.0
RETRY_S = 0.2

# run.json, as documented in docs/operations.md.
Run = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What `fanfare up` was asked for."""

    procfile: Path
    scale: str = ""
    stores_only: bool = False
    claim: bool = False
    """Whether stores that belonged to another installation are to become ours."""
    autoscale: bool = False
    """Whether workers are added and taken away by their lag."""


class Stack:
    """Everything that one `fanfare up` runs. Used as: `start`, wait for the wish to stop, `stop`."""

    def __init__(self, settings: Settings, plan: Plan, folder: DataFolder, output: Output) -> None:
        self._settings = settings
        self._plan = plan
        self._folder = folder
        self._output = output
        self._supervisor = Supervisor(output, self._write_state)
        self._sockets: Sockets | None = None
        self._addresses = Addresses("", "", "", "")
        self._fleet = Fleet(self._supervisor, _nothing, [])
        self._control = AsyncExitStack()
        self._run: Run = {}

    async def start(self) -> Run:
        """Start everything in order and wait until it serves; answers what `run.json` holds.

        Raises:
            UpError: something is wrong; the message says what to do. What was started is still to be stopped.

        """
        commands = {} if self._plan.stores_only else read_procfile(self._plan.procfile)
        counts = parse_scale(self._plan.scale, list(commands))
        self._sockets = self._open_sockets()
        self._write_state()
        self._addresses = await self._start_stores()
        settings = self._filled_settings()
        await self._check_installation(settings)
        demo = None
        if not self._plan.stores_only:
            demo = await self._make_demo(settings)
            services = Services(
                settings=settings,
                folder=self._folder,
                addresses=self._addresses,
                sockets=self._sockets,
                commands=commands,
            )
            specs = services.all(counts)
            self._output.say("starting " + ", ".join(spec.name for spec in specs))
            await self._supervisor.start_ready(specs, SERVICE_TIMEOUT_S)
            self._fleet = Fleet(self._supervisor, services.one, list(commands))
        changes = Changes(settings, self._fleet, self._output)
        watch = await self._control.enter_async_context(Watch(settings, self._folder))
        handlers = changes.handlers | watch.handlers | {"offers": self._offers}
        load = await self._control.enter_async_context(DemoLoad(self._folder, self._output))
        handlers |= Letters(settings).handlers | Follow(settings).handlers | load.handlers
        await self._control.enter_async_context(serve(self._folder, handlers))
        if self._plan.autoscale and not self._plan.stores_only:
            from fanfare.embedded.autoscaling import autoscaling  # noqa: PLC0415 - slow to import

            scaling = autoscaling(settings, self._fleet, commands, self._output)
            await self._control.enter_async_context(scaling)
        run = self._run = self._describe(settings, demo)
        write_atomically(self._folder.run_file, json.dumps(run, indent=1) + "\n")
        return run

    async def stop(self) -> None:
        """Stop what runs: gateways, workers, stores. `run.json` goes first."""
        self._folder.run_file.unlink(missing_ok=True)
        await self._control.aclose()
        if self._sockets:
            self._sockets.close()
        await self._supervisor.stop()
        self._folder.forget_run()

    def reload(self) -> None:
        """Let the services read their certificates again."""
        self._supervisor.reload()

    def kill(self) -> None:
        """Kill what runs, at once."""
        self._supervisor.kill()

    def _open_sockets(self) -> Sockets:
        host = self._settings.host
        rest = ports.listen("FANFARE_REST_PORT", host, self._settings.rest_port)
        try:
            gateway = ports.listen("FANFARE_GATEWAY_PORT", host, self._settings.gateway_port)
        except BaseException:
            rest.close()
            raise
        found = Sockets(rest, gateway)
        if not self._plan.stores_only:
            try:
                require_public(self._with_ports(found))
            except BaseException:
                found.close()
                raise
        return found

    def _with_ports(self, sockets: Sockets) -> Settings:
        ports_ = {"rest_port": sockets.rest_port, "gateway_port": sockets.gateway_port}
        return self._settings.model_copy(update=ports_)

    async def _start_stores(self) -> Addresses:
        given = self._settings
        secret = given.secret.get_secret_value() or self._folder.secret("secret")
        admin_key = given.admin_key.get_secret_value() or self._folder.secret("admin.secret")
        missing = [
            name
            for name, address in (
                ("Kafka", given.kafka),
                ("Valkey", given.redis.get_secret_value()),
                ("PostgreSQL", given.postgres.get_secret_value()),
            )
            if not address
        ]
        if missing:
            self._output.say("starting " + ", ".join(missing))
        async with _all_or_none() as together:
            kafka = together(self._start_kafka())
            redis = together(self._start_redis())
            postgres = together(self._start_postgres())
        return Addresses(kafka.result(), redis.result(), postgres.result(), secret, admin_key)

    async def _start_kafka(self) -> str:
        """Kafka with its topics."""
        servers = self._settings.kafka
        if not servers:
            from fanfare.embedded.kafka import prepare_kafka  # noqa: PLC0415 - only where Kafka is ours

            servers, specs = await prepare_kafka(
                self._folder, self._settings.brokers, self._settings.kafka_port
            )
            await self._supervisor.start_ready(specs, STORE_TIMEOUT_S)
        from fanfare.bus.topics import create_topics  # noqa: PLC0415 - slow to import; Kafka starts meanwhile

        settings = self._settings.model_copy(update={"kafka": servers})
        await _until(TOPICS_TIMEOUT_S, "creating the topics", lambda: create_topics(settings))
        return servers

    async def _start_redis(self) -> str:
        if given := self._settings.redis.get_secret_value():
            return given
        from fanfare.embedded.valkey import prepare_valkey  # noqa: PLC0415 - only where Redis is ours

        url, spec = prepare_valkey(self._folder, self._settings.redis_port)
        await self._supervisor.start_ready([spec], STORE_TIMEOUT_S)
        return url

    async def _start_postgres(self) -> str:
        """PostgreSQL with our database and its tables."""
        url = self._settings.postgres.get_secret_value()
        if not url:
            from fanfare.embedded.postgres import make_database, prepare_postgres  # noqa: PLC0415

            url, spec = await prepare_postgres(self._folder, self._settings.postgres_port)
            await self._supervisor.start_ready([spec], STORE_TIMEOUT_S)
            await make_database(url)
        from fanfare.store.migrate import migrate  # noqa: PLC0415

        settings = self._settings.model_copy(update={"postgres": SecretStr(url)})
        await _until(0, "migrating the database", lambda: asyncio.to_thread(migrate, settings))
        return url

    def _filled_settings(self) -> Settings:
        assert self._sockets is not None
        return self._with_ports(self._sockets).model_copy(
            update={
                "home": self._folder.home,
                "kafka": self._addresses.kafka,
                "redis": SecretStr(self._addresses.redis),
                "postgres": SecretStr(self._addresses.postgres),
                "secret": SecretStr(self._addresses.secret),
            }
        )

    async def _check_installation(self, settings: Settings) -> None:
        """Check that the stores are ours, and that Fanfare works on them; new stores become ours."""
        from fanfare.checks.findings import refusals  # noqa: PLC0415 - slow to import
        from fanfare.checks.marks import claim, settle  # noqa: PLC0415
        from fanfare.checks.program import check  # noqa: PLC0415

        given = self._settings
        external = given.kafka or given.redis.get_secret_value() or given.postgres.get_secret_value()
        what = "noting whose stores these are"
        if self._plan.claim or (
            not external and await _until(TOPICS_TIMEOUT_S, what, lambda: settle(settings))
        ):
            # Stores that are all in our folder are ours, whatever was removed from it or put into it.
            made = await _until(TOPICS_TIMEOUT_S, what, lambda: claim(settings))
            self._output.say(f"the stores are installation {made} from now on")
        if external:
            ready = settings.model_copy(update={"public_url": settings.public_gateway()})
            if problem := refusals(await check(ready)):
                raise UpError(problem)

    async def _make_demo(self, settings: Settings) -> Any:
        from fanfare.store.demo import make_demo  # noqa: PLC0415

        return await _until(0, "making the demo guild", lambda: make_demo(settings))

    def _describe(self, settings: Settings, demo: Any) -> Run:
        def person(user: Any) -> dict[str, str]:
            return {"id": str(user.id), "token": user.token}

        made: Run = {"guild_id": "", "channel_id": "", "users": {}, "bot": {"id": "", "token": ""}}
        if demo:
            made = {
                "guild_id": str(demo.guild_id),
                "channel_id": str(demo.channel_id),
                "users": {name: person(user) for name, user in demo.users.items()},
                "bot": person(demo.bot),
            }
        return {
            "version": 1,
            "pid": os.getpid(),
            "gateway": settings.public_gateway(),
            "api": settings.public_api(),
            "web": settings.public_web(),
            "admin_key": self._addresses.admin_key,
            "kafka": self._addresses.kafka,
            "redis": self._addresses.redis,
            "postgres": self._addresses.postgres,
            **made,
        }

    async def _offers(self, _: dict[str, Any]) -> Any:
        """Whom the log-in page may offer without a token; nobody where others can reach it."""
        if not self._run or not is_loopback(self._settings.host):
            return {"users": {}, "admin_key": ""}
        users = {name: user["token"] for name, user in self._run["users"].items()}
        return {"users": users, "admin_key": self._run["admin_key"]}

    def _write_state(self) -> None:
        """For `fanfare status` in another shell."""
        processes = [
            {
                "name": child.spec.name,
                "role": child.spec.role,
                "pid": child.pid,
                "state": child.state,
                "address": child.spec.address,
                "internal": child.spec.internal,
            }
            for child in self._supervisor.children
        ]
        given = {
            "kafka": self._settings.kafka,
            "redis": self._settings.redis,
            "postgres": self._settings.postgres,
        }
        external = [name for name, address in given.items() if str(address)]
        state = {
            "pid": os.getpid(),
            "external": external,
            "kafka": self._addresses.kafka,
            "processes": processes,
        }
        write_atomically(self._folder.state_file, json.dumps(state) + "\n")


def _nothing(role: str, _: int) -> Spec:
    raise UpError(f"there is no service {role!r}")


class _all_or_none:  # noqa: N801 - reads as the verb it is
    """A TaskGroup that raises the first error itself, not a group of one."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Callable[[Awaitable[Any]], asyncio.Task[Any]]:
        group = await self._group.__aenter__()
        return group.create_task  # type: ignore[return-value]

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as several:
            first = several.exceptions[0]
            raise first from None


async def _until(patience_s: float, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Try a call again and again for `patience_s`; the last error becomes an UpError of one line."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await work()
        except Exception as error:  # any store library's own kind
            if asyncio.get_running_loop().time() >= deadline:
                said = str(error).strip().replace("\n", " ") or type(error).__name__
                raise UpError(f"{what} failed ({type(error).__name__}): {said}") from error
        await asyncio.sleep(RETRY_S)
