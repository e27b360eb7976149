"""Names of the Redis keys (docs/design.md, section 4). The two keys of an inbox share a hash tag."""

from typing import Final

__all__ = [
    "EPOCH",
    "NONCES_READY",
    "applied",
    "at",
    "first",
    "guild_nodes",
    "inbox",
    "lease",
    "moved",
    "nonce",
    "recent",
    "recent_bodies",
    "user_sessions",
    "worker",
]

# A random word set by whoever finds it missing: missing or another one means that Redis was emptied.
EPOCH: Final = "epoch"
# The loss token under which the nonces are complete. Missing or another one after Redis lost writes, until they are
# read from the log again.
NONCES_READY: Final = "nonces:ready"


def inbox(name: str) -> str:
    """Stream: what the inbox must deliver; entry ids are `<s>-0`."""
    return f"inbox:{{{name}}}"


def at(name: str) -> str:
    """Hash: the inbox's last `s`, highest source positions, newest `s` per scope, loss token, `open`, cut."""
    return f"inbox:{{{name}}}:at"


def lease(node: str) -> str:
    """String, TTL: the node is alive; its present inbox."""
    return f"node:{node}:lease"


def moved(session: str) -> str:
    """String, TTL: version and hops of a session that has changed its inbox."""
    return f"session:{session}:moved"


def guild_nodes(guild: int) -> str:
    """Hash: inboxes with at least one session in the guild."""
    return f"guild:{guild}:nodes"


def user_sessions(user: int) -> str:
    """Hash: `session@inbox` -> status."""
    return f"user:{user}:sessions"


def applied(guild: int) -> str:
    """String: newest version of the guild whose event stands in every inbox concerned."""
    return f"guild:{guild}:applied"


def recent(channel: int) -> str:
    """Sorted set of ids of the newest messages of a channel."""
    return f"channel:{{{channel}}}:recent"


def recent_bodies(channel: int) -> str:
    """Hash: message id -> `<offset>:<json>`, empty json where the message was deleted."""
    return f"channel:{{{channel}}}:bodies"


def nonce(user: int, value: str) -> str:
    """String, TTL: id and outcome of a send with that nonce."""
    return f"nonce:{user}:{value}"


def first(user: int, value: str) -> str:
    """String, TTL: the log position that won for that nonce."""
    return f"first:{user}:{value}"


def worker(number: int) -> str:
    """String, TTL: lease of a snowflake worker number."""
    return f"worker:{number}"
