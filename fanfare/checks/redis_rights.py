"""The least rights of each process in Redis: commands, keys, and a harmless call of each to ask for it. Pure."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from fanfare.presence import keys

__all__ = ["acl", "acl_to_mark", "patterns", "probes"]

# The id that stands in a sample key.
_ANY: Final = re.compile(r"(?<=[:{])0(?=[:}]|$)")

Calls = Callable[[], list[tuple[str, ...]]]

# What redis-py and the checks send themselves.
_ALWAYS: Final = (
    "ping", "select", "info", "time", "multi", "discard", "client|setname", "client|setinfo", "get", "set",
)  # fmt: skip
_SCRIPTS: Final = ("eval", "evalsha", "script|load")


def _gateway() -> list[tuple[str, ...]]:
    inbox, at, lease = keys.inbox("*"), keys.at("*"), keys.lease("*")
    interaction, ephemeral = keys.interaction(0), keys.ephemeral(0)
    moved, moves = keys.moved("*"), keys.moves("*")
    guild, user, applied = keys.guild_nodes(0), keys.user_sessions(0), keys.applied(0)
    recent, bodies, reactions = keys.recent(0), keys.recent_bodies(0), keys.reactions(0)
    nonce, first, slow, worker = keys.nonce(0, 0, "*"), keys.first(0, 0, "*"), keys.slow(0, 0), keys.worker(0)
    return [
        ("exists", inbox), ("pexpire", at, "1"), ("xadd", inbox, "*", "m", "x"), ("xread", "STREAMS", inbox, "0"),
        ("xrange", inbox, "-", "+"), ("hset", at, "s", "0"), ("hget", at, "s"), ("hgetall", at),
        ("get", lease), ("set", lease, ""), ("get", moved), ("set", moved, ""), ("mget", moved),
        ("pttl", moved), ("get", moves), ("set", moves, ""), ("mget", moves),
        ("hset", guild, "x", "1"), ("hdel", guild, "x"), ("hget", guild, "x"), ("del", inbox), ("del", at),
        ("hset", user, "x", "1"), ("hget", user, "x"),
        ("hdel", user, "x"), ("get", applied), ("hget", bodies, "0"), ("hset", bodies, "0", ""), ("hgetall", bodies),
        ("hdel", bodies, "0"), ("zadd", recent, "0", "0"), ("zcard", recent), ("zpopmin", recent, "1"),
        ("get", keys.cached_under(0)), ("set", keys.cached_under(0), ""), ("del", recent), ("del", bodies),
        ("del", reactions), ("mget", keys.cached_under(0)),
        ("hgetall", reactions), ("hget", reactions, "0"), ("hlen", reactions), ("hset", reactions, "0", ""),
        ("pexpire", reactions, "1"), ("exists", interaction), ("hsetnx", interaction, "x", "1"),
        ("hset", interaction, "x", "1"), ("hgetall", interaction), ("hdel", interaction, "x"),
        ("pexpire", interaction, "1"), ("get", ephemeral), ("set", ephemeral, ""), ("del", ephemeral),
        ("get", nonce), ("set", nonce, ""), ("del", nonce),
        ("set", slow, ""), ("pttl", slow), ("get", slow), ("del", slow),
        ("get", first), ("set", first, ""), ("get", worker),
        ("set", worker, ""), ("del", worker), ("get", keys.nonces_ready()), ("set", keys.nonces_ready(), ""),
        ("get", keys.epoch()),
        ("incr", keys.session_starts(0)), ("set", keys.session_starts(0), ""), ("pttl", keys.session_starts(0)),
        ("get", keys.session_starts(0)), ("incr", keys.session_starts_now(0)), ("set", keys.session_starts_now(0), ""),
        *_watching(),
        *_statuses(),
    ]  # fmt: skip


def _watching() -> list[tuple[str, ...]]:
    """What a gateway does for watchers of positions."""
    last, watch, cell, areas = (
        keys.location_last(0),
        keys.location_watch(0),
        keys.location_cell(0),
        keys.location_areas(),
    )
    geo = ("FROMLONLAT", "0", "0", "BYBOX", "1", "1", "km", "COUNT", "1")
    return [
        ("mget", last), ("geosearch", keys.location_geo(), *geo), ("hset", watch, "x", "1"),
        ("expire", watch, "1"), ("hdel", watch, "x"), ("hset", cell, "x", "1"), ("expire", cell, "1"),
        ("hdel", cell, "x"), ("set", areas, ""), ("set", keys.location_node("*"), ""),
        ("exists", keys.location_node("*")),
    ]  # fmt: skip


def _statuses() -> list[tuple[str, ...]]:
    """What a gateway does for the statuses of users."""
    user, node, voices_of = keys.status_user(0), keys.status_node("*"), keys.status_voices_of("*")
    guild, voice, untold = keys.status_guild(0), keys.status_voice(0), keys.status_untold()
    watched, session, nodes = keys.status_watched(0), keys.status_session("*"), keys.status_nodes()
    return [
        ("hset", user, "x", "1"), ("hdel", user, "x"), ("hvals", user), ("hget", node, "x"), ("hset", node, "x", "1"),
        ("hdel", node, "x"), ("hlen", node), ("hkeys", node), ("hset", voices_of, "x", "1"), ("hdel", voices_of, "x"),
        ("hkeys", voices_of), ("hget", guild, "x"), ("hset", guild, "x", "1"), ("hdel", guild, "x"),
        ("hgetall", guild), ("hmget", guild, "x"), ("hlen", guild), ("hget", voice, "x"), ("hset", voice, "x", "1"),
        ("hdel", voice, "x"), ("hgetall", voice), ("exists", watched), ("set", watched, ""),
        ("zadd", untold, "0", "0"), ("zrem", untold, "0"), ("zrange", untold, "0", "0"), ("mget", session),
        ("set", session, ""), ("sadd", nodes, "x"), ("srem", nodes, "x"), ("smembers", nodes),
        ("exists", keys.lease("*")),
    ]  # fmt: skip


def _fanout() -> list[tuple[str, ...]]:
    return [
        ("set", keys.first(0, 0, "*"), ""),
        ("get", keys.nonces_ready()),
        ("set", keys.nonces_ready(), ""),
        ("get", keys.bury("*", "*")),
    ]


def _notifier() -> list[tuple[str, ...]]:
    inbox, at, applied = keys.inbox("*"), keys.at("*"), keys.applied(0)
    return [
        ("hkeys", keys.guild_nodes(0)), ("hkeys", keys.user_sessions(0)), ("hdel", keys.guild_nodes(0), "x"),
        ("hdel", keys.user_sessions(0), "x"), ("xadd", inbox, "*", "m", "x"), ("exists", inbox), ("hget", at, "s"),
        ("hset", at, "s", "0"), ("get", applied), ("set", applied, ""), ("get", keys.epoch()),
        ("set", keys.epoch(), ""), ("get", keys.bury("*", "*")),
        ("get", keys.location_last(0)), ("set", keys.location_last(0), ""),
        ("geoadd", keys.location_geo(), "0", "0", "0"), ("zrem", keys.location_geo(), "0"),
        ("hkeys", keys.location_watch(0)), ("hkeys", keys.location_cell(0)), ("exists", keys.location_areas()),
    ]  # fmt: skip


def _archiver() -> list[tuple[str, ...]]:
    recent, bodies, reactions = keys.recent(0), keys.recent_bodies(0), keys.reactions(0)
    return [
        ("zcard", recent), ("zrange", recent, "0", "0"), ("zrem", recent, "0"), ("hmget", bodies, "0"),
        ("hdel", bodies, "0"), ("hgetall", reactions), ("hdel", reactions, "0"), ("get", keys.bury("*", "*")),
    ]  # fmt: skip


_CALLS: Final[Mapping[str, Calls]] = {
    "gateway": _gateway,
    "fanout": _fanout,
    "notifier": _notifier,
    "archiver": _archiver,
}


def probes(role: str) -> list[tuple[str, ...]]:
    """A call of each command on each kind of key that a role needs; only asked for, never carried out."""
    scripts = [("eval", "return 1", "0"), ("evalsha", "0" * 40, "0"), ("script", "load", "return 1")]
    always = [("time",), ("get", keys.installation()), ("set", keys.installation(), "", "NX")]
    return [*always, *scripts, *_CALLS[role]()]


def patterns(role: str) -> list[str]:
    """The keys that a role uses, as patterns of an ACL."""
    found = {call[2] if call[0] == "xread" else call[1] for call in _CALLS[role]()} | {keys.installation()}
    return sorted(_ANY.sub("*", name) for name in found)


# Channels and what is done with them: nobody can ask whether these are allowed without doing them.
_CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("subscribe", "unsubscribe"),
    "notifier": ("publish",),
}


def acl(role: str) -> list[str]:
    """The rules of `ACL SETUSER NAME on >PASSWORD ...` that give a role its rights and no others."""
    channels = _CHANNELS.get(role, ())
    commands = sorted({*_ALWAYS, *_SCRIPTS, *channels, *(call[0] for call in _CALLS[role]())})
    names = (keys.location_to("*"), keys.location_news()) if channels else ()
    return [
        "resetkeys",
        "resetchannels",
        "-@all",
        *(f"~{pattern}" for pattern in patterns(role)),
        *(f"&{name}" for name in names),
        *(f"+{command}" for command in commands),
    ]


def acl_to_mark() -> list[str]:
    """The same for `fanfare topics create`, which notes whose stores they are."""
    always = (f"+{command}" for command in sorted(_ALWAYS))
    return ["resetkeys", "resetchannels", "-@all", f"~{keys.installation()}", *always]
