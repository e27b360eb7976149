"""Whom a message mentions: looked up together."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from fanfare.mentions import ALLOW_ALL, find
from fanfare.model import DM, Channel, User
from fanfare.permissions import DM_PERMISSIONS
from gateway.guilds.cache import GuildCache
from gateway.ingress.access import Access, Place


class Store:
    """A database that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    async def users(self, ids: Iterable[int]) -> dict[int, User]:
        self.asked.append(list(ids))
        return {ident: User(id=ident, username="x") for ident in self.asked[-1] if ident % 2}


async def test_b1_many_unknown_users_are_one_question():
    store: Any = Store()
    cache = GuildCache(store, presence=SimpleNamespace())
    place = Place(Channel(id=1, type=DM), None, None, DM_PERMISSIONS)
    ids = [10**16 + number for number in range(95)]
    written = find(" ".join(f"<@{ident}>" for ident in ids))
    _, users = await Access(cache, store).mentioned(place, written, ALLOW_ALL)
    assert [user.id for user in users] == [ident for ident in ids if ident % 2]
    assert store.asked == [ids]
    await Access(cache, store).mentioned(place, written, ALLOW_ALL)
    assert store.asked[1] == [ident for ident in ids if not ident % 2], "those who exist are in memory"
