"""All checks together: for a process before it works, for `fanfare up`, and for `fanfare check`."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from fanfare.checks.findings import Finding, Level, error, refusals, waits, warning
from fanfare.checks.kafka import check_kafka
from fanfare.checks.marks import settle
from fanfare.checks.postgres import check_postgres
from fanfare.checks.redis import check_redis
from fanfare.checks.rights import POSTGRES, ROLES
from fanfare.errors import FatalError
from fanfare.settings import Settings, SettingsError
from fanfare.settings_rules import public_problems, remarks
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["check", "check_later", "check_start"]

# A store that does not answer in this time counts as away: the process starts and waits for it.
_PATIENCE_S: Final = 15.0
# How often those are asked again that did not answer.
_AGAIN_S: Final = 3.0


async def check(settings: Settings, roles: Sequence[str] = ROLES) -> list[Finding]:
    """All findings for processes of these roles; the stores are asked at the same time, whose they are at last."""
    postgres = any(role in POSTGRES for role in roles)
    asked = [check_kafka(settings, roles), check_redis(settings, roles)]
    if postgres:
        asked.append(check_postgres(settings, roles))
    found = [warning("settings", said) for said in remarks(settings)]
    if "gateway" in roles:
        found += [error("settings", said) for said in public_problems(settings)]
    for each in await asyncio.gather(*map(_patiently, asked)):
        found += each
    if all(one.level is not Level.WAITS for one in found):
        found += await _patiently(_installation(settings, postgres=postgres))
    return found


async def check_start(settings: Settings, role: str) -> bool:
    """What a process does before it works: says what is found, and refuses to start with an error.

    Returns:
        Whether every store was asked. Where it was not, `check_later` goes on asking.

    Raises:
        SettingsError: there are errors; the message has all of them.

    """
    return role not in ROLES or await _look(settings, role, set())


async def check_later(settings: Settings, role: str) -> None:
    """Check again and again, until every store has answered.

    Raises:
        FatalError: there are errors; the message has all of them.

    """
    said: set[Finding] = set()
    try:
        while not await _look(settings, role, said):
            await asyncio.sleep(_AGAIN_S)
    except SettingsError as wrong:
        raise FatalError(str(wrong)) from None


async def _look(settings: Settings, role: str, said: set[Finding]) -> bool:
    found = await check(settings, [role])
    log = logs.get("checks")
    for one in found:
        if one.level is not Level.ERROR and one not in said:
            said.add(one)
            log.warning(one.said, action=Action.START, about=one.about)
    if wrong := refusals(found):
        raise SettingsError(wrong)
    return all(one.level is not Level.WAITS for one in found)


async def _installation(settings: Settings, *, postgres: bool) -> list[Finding]:
    problem = await settle(settings, postgres=postgres)
    return [error("installation", problem)] if problem else []


async def _patiently(asked: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await asked
    except SettingsError as wrong:
        return [error("settings", str(wrong))]
    except Exception as away:  # noqa: BLE001 - whatever a store's library raises while it is away
        return [waits("stores", f"a store could not be asked: {type(away).__name__}: {away}")]
