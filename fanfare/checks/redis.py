"""Whether a Redis is fit to be ours: the questions, and what follows from the answers."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fanfare.checks.findings import Finding, error, waits, warning
from fanfare.checks.redis_rights import probes
from fanfare.clock import now_s
from fanfare.constants import CLOCK_SKEW_S
from fanfare.presence.client import Redis, connect, tls_problem
from fanfare.presence.errors import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
    RedisConnectionError,
    RedisError,
    RedisTimeoutError,
    ResponseError,
)
from fanfare.settings import Settings

__all__ = ["Facts", "check_redis", "judge"]

_ABOUT: Final = "Redis"
_OLDEST: Final = (7, 0)
# Below this a single inbox with its ring of messages may fill it.
_SMALL_BYTES: Final = 256 * 1024 * 1024
_FULL: Final = 0.8
_OFF_S: Final = 1.0


class Facts(NamedTuple):
    """What a Redis said of itself."""

    info: dict[str, Any]
    off_s: float
    """How far its clock is ahead of ours."""
    refused: Sequence[str]
    """The calls that this user may not make, as Redis says it."""


async def check_redis(settings: Settings, roles: Sequence[str]) -> list[Finding]:
    """Ask the configured Redis."""
    client = connect(settings, client_name="fanfare-check", replica_too=True)
    try:
        info: dict[str, Any] = await client.info()
        before = now_s()
        seconds, micros = await client.time()
        off_s = seconds + micros / 1e6 - (before + now_s()) / 2
        return judge(Facts(info, off_s, await _refused(client, roles)))
    except (AuthenticationError, AuthenticationWrongNumberOfArgsError) as refused:
        return [error(_ABOUT, f"it does not take the user and password of FANFARE_REDIS: {refused}")]
    except NoPermissionError as refused:
        return [error(_ABOUT, f"{refused}: `fanfare rights redis` prints the rights that are needed")]
    except (RedisConnectionError, RedisTimeoutError, OSError) as away:
        if "DB index" in str(away):
            return [error(_ABOUT, "it has no database of the number that FANFARE_REDIS ends in")]
        if why := await tls_problem(settings):
            return [error(_ABOUT, why)]
        return [waits(_ABOUT, f"it does not answer at {_address(client)}: {away}")]
    except ResponseError as said:
        if "DB index" in str(said):
            return [error(_ABOUT, "it has no database of the number that FANFARE_REDIS ends in")]
        return [waits(_ABOUT, str(said))]
    except RedisError as said:
        return [waits(_ABOUT, str(said))]
    finally:
        await client.aclose()


def _address(client: Redis) -> str:
    options = client.connection_pool.connection_kwargs
    return f"{options.get('host')}:{options.get('port', 6379)}"


async def _refused(client: Redis, roles: Sequence[str]) -> list[str]:
    """Ask for each right in a transaction that is given up: nothing is carried out."""
    calls = list(dict.fromkeys(call for role in roles for call in probes(role)))
    async with client.client() as one:
        connection: Any = one.connection
        await connection.send_packed_command(
            connection.pack_commands([("MULTI",), *calls, ("DISCARD",)]), check_health=False
        )
        answers: list[Any] = []
        for _ in range(len(calls) + 2):
            try:
                answers.append(await connection.read_response())
            except ResponseError as said:
                answers.append(said)
    if isinstance(answers[0], NoPermissionError):
        return [f"{answers[0]}"]
    named = zip(calls, answers[1:-1], strict=True)
    return [
        f"{call[0].upper()} on {_key(call)}: {said}"
        for call, said in named
        if isinstance(said, NoPermissionError)
    ]


def _key(call: tuple[str, ...]) -> str:
    if call[0] == "xread":
        return call[2]
    return call[1] if len(call) > 1 and call[0] not in {"eval", "evalsha", "script"} else "no key"


def judge(facts: Facts) -> list[Finding]:
    """What follows from the answers."""
    info = facts.info
    found = [
        error(_ABOUT, f"this user may not {said}; `fanfare rights redis` prints the rights that are needed")
        for said in facts.refused
    ]
    # Valkey has a name of its own for it.
    mode = info.get("server_mode") or info.get("redis_mode") or "standalone"
    if int(info.get("cluster_enabled", 0)):
        mode = "cluster"
    if mode != "standalone":
        found.append(
            error(_ABOUT, f"FANFARE_REDIS leads to a Redis in {mode} mode: give the address of one primary")
        )
    if info.get("role") not in {None, "master"}:
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        found.append(
            error(_ABOUT, f"FANFARE_REDIS leads to a replica: give the address of its primary, {primary}")
        )
    version = str(info.get("redis_version", ""))
    if _numbers(version) and _numbers(version) < _OLDEST:
        found.append(error(_ABOUT, f"it is version {version}, and 7.0 is the oldest that Fanfare works on"))
    found += _memory(info)
    if abs(facts.off_s) > CLOCK_SKEW_S:
        far = f"its clock is {facts.off_s:+.1f} s off ours, and above {CLOCK_SKEW_S:.0f} s no ids are made"
        found.append(waits(_ABOUT, f"{far}: sends are refused until both follow one time server"))
    elif abs(facts.off_s) > _OFF_S:
        found.append(
            warning(_ABOUT, f"its clock is {facts.off_s:+.1f} s off ours: let both follow one time server")
        )
    return found


def _memory(info: dict[str, Any]) -> list[Finding]:
    found = []
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        found.append(
            error(
                _ABOUT,
                f"maxmemory-policy is {policy}, so what waits for clients would be thrown away in silence when memory "
                "is short: set it to noeviction",
            )
        )
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if 0 < limit < _SMALL_BYTES:
        found.append(
            warning(_ABOUT, f"maxmemory is {limit >> 20} MB: `fanfare capacity` says what a load needs")
        )
    elif limit and used > limit * _FULL:
        found.append(warning(_ABOUT, f"{used >> 20} of {limit >> 20} MB of maxmemory are used"))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
