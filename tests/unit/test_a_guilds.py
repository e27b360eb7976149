"""A guild that is loaded with a change that the log has still to bring."""

import asyncio

import pytest

from fanfare.model import Guild
from gateway.guilds.cache import GuildCache
from tests.unit.gateway_world import GUILD_ID, Log, guild


class Database:
    """Has one guild, in its third version."""

    async def guild(self, ident: int) -> Guild:
        return guild(ident, version=3)


class Registrations:
    """What Redis says of the guild's version that stands in every inbox."""

    def __init__(self, applied: int | None) -> None:
        self.said = applied
        self.asked = 0

    async def hold(self, ident: int) -> None:
        """Registered at once."""

    def release(self, ident: int) -> None:
        """Forgotten at once."""

    async def applied(self, ident: int) -> int | None:
        self.asked += 1
        return self.said


async def loaded(applied: int | None) -> tuple[GuildCache, Registrations]:
    registrations = Registrations(applied)
    guilds = GuildCache(Database(), registrations)
    await guilds.view(GUILD_ID)
    return guilds, registrations


@pytest.mark.parametrize(("applied", "ahead"), [(2, True), (None, True), (3, False), (4, False), (0, False)])
async def test_a8_a_guild_is_ahead_while_a_change_may_be_on_its_way(applied, ahead):
    """0: Redis was emptied since, and nobody would ever say that it has come."""
    guilds, _ = await loaded(applied)
    assert guilds.ahead == ({GUILD_ID: 3} if ahead else {})
    guilds.forget(GUILD_ID)
    assert not guilds.ahead


async def test_a8_a_guild_is_not_ahead_any_more_when_the_change_has_come():
    guilds, _ = await loaded(1)
    log = Log()
    guilds.apply(log.change("GUILD_UPDATE", {"name": "n", "owner_id": "1"}, 2))
    assert guilds.ahead
    guilds.apply(log.change("GUILD_UPDATE", {"name": "n", "owner_id": "1"}, 3))
    assert not guilds.ahead


async def test_a8_a_change_that_was_too_early_for_this_inbox_is_not_waited_for():
    """It passed the notifier just before the guild was registered here: only Redis can tell that it has."""
    guilds, registrations = await loaded(2)
    async with asyncio.timeout(10):
        while registrations.asked < 3:
            await asyncio.sleep(0)
        registrations.said = 3
        while guilds.ahead:
            await asyncio.sleep(0)
