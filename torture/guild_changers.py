"""Those who change a guild: its roles, channels, threads and members, through any node.

Each looks at what there is, and changes something of it; what comes of a call does not matter here. Roles hide channels
and show them, so what is told at once to one is a change of what there is for another.
"""

from random import Random
from typing import Any, Final

from fanfare.permissions import P
from torture.caller import Caller
from torture.world import World

__all__ = ["GuildChangers"]

# Few things, so that changes meet.
_ROLES: Final = 5
_CHANNELS: Final = 5
_THREADS: Final = 4
_VIEW: Final = str(int(P.VIEW_CHANNEL))
_ROLE_BITS: Final = (0, int(P.VIEW_CHANNEL), int(P.MANAGE_MESSAGES | P.VIEW_CHANNEL))


class GuildChangers:
    """The owner of the guild, and those who come and go."""

    def __init__(self, world: World, rng: Random, caller: Caller) -> None:
        self._world = world
        self._rng = rng
        self._caller = caller
        self._owner = world.busy_people[0]
        self._guild = f"/guilds/{world.busy}"
        self._number = 0
        self._kinds = {
            self._role: 0.2,
            self._roles_of_somebody: 0.25,
            self._channel: 0.15,
            self._overwrite: 0.15,
            self._thread: 0.15,
            self._come_or_go: 0.1,
        }

    async def something(self) -> None:
        """One change."""
        await self._rng.choices(list(self._kinds), list(self._kinds.values()))[0]()

    def _name(self) -> str:
        self._number += 1
        return f"changed {self._number}"

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        return await self._caller.until_answered(self._owner, method, path, body)

    async def _some(self, what: str) -> list[Any]:
        return list(await self._call("GET", f"{self._guild}/{what}") or [])

    async def _role(self) -> None:
        roles = [role for role in await self._some("roles") if role["id"] != str(self._world.busy)]
        if not roles or (len(roles) < _ROLES and self._rng.random() < 0.5):
            await self._call("POST", f"{self._guild}/roles", {"name": self._name()})
            return
        role = f"{self._guild}/roles/{self._rng.choice(roles)['id']}"
        if self._rng.random() < 0.3:
            await self._call("DELETE", role)
        else:
            bits = str(self._rng.choice(_ROLE_BITS))
            await self._call("PATCH", role, {"name": self._name(), "permissions": bits})

    async def _roles_of_somebody(self) -> None:
        person = self._rng.choice(self._world.busy_people[1:])
        roles = [role["id"] for role in await self._some("roles") if role["id"] != str(self._world.busy)]
        held = self._rng.sample(roles, self._rng.randint(0, len(roles)))
        member = f"{self._guild}/members/{person.id}"
        await self._call("PATCH", member, {"roles": held, "nick": self._rng.choice([None, self._name()])})

    async def _channel(self) -> None:
        channels = await self._some("channels")
        spare = [one for one in channels if one["id"] != str(self._world.busy_lobby)]
        if not spare or (len(spare) < _CHANNELS and self._rng.random() < 0.5):
            await self._call("POST", f"{self._guild}/channels", {"name": self._name().replace(" ", "-")})
            return
        channel = f"/channels/{self._rng.choice(spare)['id']}"
        if self._rng.random() < 0.4:
            await self._call("DELETE", channel)
        else:
            await self._call("PATCH", channel, {"name": self._name().replace(" ", "-")})

    async def _overwrite(self) -> None:
        """Hide a channel from a role, or from everybody, or show it."""
        channels, roles = await self._some("channels"), await self._some("roles")
        spare = [one for one in channels if one["id"] != str(self._world.busy_lobby)]
        if not spare or not roles:
            return
        role = self._rng.choice(roles)["id"]
        path = f"/channels/{self._rng.choice(spare)['id']}/permissions/{role}"
        kind = self._rng.random()
        if kind < 0.3:
            await self._call("DELETE", path)
        else:
            allow, deny = (_VIEW, "0") if kind < 0.65 else ("0", _VIEW)
            await self._call("PUT", path, {"type": 0, "allow": allow, "deny": deny})

    async def _thread(self) -> None:
        found = await self._call("GET", f"{self._guild}/threads/active") or {"threads": []}
        threads = found["threads"]
        if not threads or (len(threads) < _THREADS and self._rng.random() < 0.4):
            channels = [one["id"] for one in await self._some("channels")]
            where = f"/channels/{self._rng.choice(channels)}" if channels else ""
            if where:
                await self._call("POST", f"{where}/threads", {"name": self._name(), "type": 11})
            return
        thread = f"/channels/{self._rng.choice(threads)['id']}"
        kind = self._rng.random()
        if kind < 0.35:
            await self._call("PATCH", thread, {"name": self._name(), "locked": self._rng.random() < 0.3})
        elif kind < 0.5:
            await self._call("PATCH", thread, {"archived": True})
        elif kind < 0.6:
            await self._call("DELETE", thread)
        else:
            person = self._rng.choice(self._world.busy_people[1:])
            member = f"{thread}/thread-members/{person.id}"
            await self._call(self._rng.choice(["PUT", "DELETE"]), member)

    async def _come_or_go(self) -> None:
        """Somebody is put out of the guild, or comes in again by an invite."""
        person = self._rng.choice(self._world.busy_people[1:])
        members = {one["user"]["id"] for one in await self._some("members?limit=100")}
        if str(person.id) in members:
            await self._call("DELETE", f"{self._guild}/members/{person.id}")
            return
        invite = await self._call("POST", f"/channels/{self._world.busy_lobby}/invites", {"unique": False})
        if invite is not None:
            await self._caller.until_answered(person, "POST", f"/invites/{invite['code']}", {})
