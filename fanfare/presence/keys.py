"""Names of the Redis keys (docs/design.md, section 4). The two keys of an inbox share a hash tag.

Each begins with the prefix of the installation, which a process has from its settings:
`fanfare.presence.client.connect` sets it.
"""

__all__ = [
    "all_begin_with",
    "applied",
    "at",
    "bury",
    "cached_under",
    "ephemeral",
    "epoch",
    "first",
    "guild_nodes",
    "inbox",
    "installation",
    "interaction",
    "lease",
    "location_areas",
    "location_cell",
    "location_geo",
    "location_last",
    "location_news",
    "location_node",
    "location_to",
    "location_watch",
    "moved",
    "moves",
    "nonce",
    "nonces_ready",
    "reactions",
    "recent",
    "recent_bodies",
    "session_starts",
    "session_starts_now",
    "slow",
    "status_guild",
    "status_node",
    "status_nodes",
    "status_session",
    "status_untold",
    "status_user",
    "status_voice",
    "status_voices_of",
    "status_watched",
    "use_prefix",
    "user_sessions",
    "worker",
]

_before = ""


def use_prefix(prefix: str) -> None:
    """Let all names begin with an installation's prefix; a process belongs to one installation."""
    global _before  # noqa: PLW0603 - as the time of day, it is the process's own
    _before = f"{prefix}:" if prefix else ""


def epoch() -> str:
    """String: a random word, set by the process that finds it missing. If it is missing or new, Redis was emptied."""
    return f"{_before}epoch"


def nonces_ready() -> str:
    """String: the loss token under which the nonces are complete.

    Missing or another one after Redis lost writes, until they are read from the log again.
    """
    return f"{_before}nonces:ready"


def installation() -> str:
    """String: the id of the installation whose keys these are."""
    return f"{_before}installation"


def inbox(name: str) -> str:
    """Stream: what the inbox must deliver; entry ids are `<s>-0`."""
    return f"{_before}inbox:{{{name}}}"


def at(name: str) -> str:
    """Hash: the inbox's last `s`, highest source positions, newest `s` per scope, loss token, `open`, cut."""
    return f"{_before}inbox:{{{name}}}:at"


def lease(node: str) -> str:
    """String, TTL: the node is alive; its present inbox."""
    return f"{_before}node:{node}:lease"


def moved(session: str) -> str:
    """String, TTL: version and hops of a session that has changed its inbox."""
    return f"{_before}session:{session}:moved"


def moves(session: str) -> str:
    """String, TTL: how often a session has moved: the version of `moved` once more.

    So moves that are gone from Redis are told from those of a session that never moved.
    """
    return f"{_before}moves:{session}"


def guild_nodes(guild: int) -> str:
    """Hash: inboxes with at least one session in the guild."""
    return f"{_before}guild:{guild}:nodes"


def user_sessions(user: int) -> str:
    """Hash: `session@inbox` -> status."""
    return f"{_before}user:{user}:sessions"


def applied(guild: int) -> str:
    """String: newest version of the guild whose event stands in every inbox concerned."""
    return f"{_before}guild:{guild}:applied"


def recent(channel: int) -> str:
    """Sorted set of ids of the newest messages of a channel."""
    return f"{_before}channel:{{{channel}}}:recent"


def recent_bodies(channel: int) -> str:
    """Hash: message id -> `<offset>:<json>`, empty json where the message was deleted."""
    return f"{_before}channel:{{{channel}}}:bodies"


def reactions(channel: int) -> str:
    """Hash: `<message>:<user>:<emoji>` -> `<offset>:<1 or 0>`, what the database may not have of reactions yet.

    User 0 stands for all users, and no emoji for all emojis: these were taken away.
    """
    return f"{_before}channel:{{{channel}}}:reactions"


def cached_under(channel: int) -> str:
    """String: what `nonces:ready` was when the caches of a channel were begun. Under another one they do not count."""
    return f"{_before}channel:{{{channel}}}:under"


def nonce(user: int, channel: int, value: str) -> str:
    """String, TTL: id and outcome of a user's send with that nonce to a channel."""
    return f"{_before}nonce:{user}:{channel}:{value}"


def first(user: int, channel: int, value: str) -> str:
    """String, TTL: the log position that won for that nonce."""
    return f"{_before}first:{user}:{channel}:{value}"


def interaction(ident: int) -> str:
    """Hash, TTL: `made`, what the interaction is; `answer`, its type; `original`, `deferred`, and messages of it."""
    return f"{_before}interaction:{ident}"


def ephemeral(message: int) -> str:
    """String, TTL: JSON of a message that only one user has."""
    return f"{_before}ephemeral:{message}"


def slow(user: int, channel: int) -> str:
    """String, TTL: the user has to wait in a channel in slow mode; which send began it."""
    return f"{_before}slow:{user}:{channel}"


def session_starts(user: int) -> str:
    """String, TTL a day: how many sessions a bot has begun."""
    return f"{_before}starts:{user}"


def session_starts_now(user: int) -> str:
    """String, TTL some seconds: how many of them just now."""
    return f"{_before}starts:{user}:now"


def bury(group: str, position: str) -> str:
    """String, TTL: an operator's order to a group to set the record at a position aside."""
    return f"{_before}bury:{group}:{position}"


def worker(number: int) -> str:
    """String, TTL: lease of a snowflake worker number."""
    return f"{_before}worker:{number}"


def all_begin_with() -> str:
    """What every name begins with, for scripts that make names themselves."""
    return _before


def location_last(entity: int) -> str:
    """String, TTL: the newest position of an entity: 40 digits of its time and number, and its JSON."""
    return f"{_before}location:last:{entity}"


def location_geo() -> str:
    """Sorted set of places (GEOADD): where entities were last."""
    return f"{_before}location:geo"


def location_watch(entity: int) -> str:
    """Hash, TTL: nodes with a watcher of the entity."""
    return f"{_before}location:watch:{entity}"


def location_cell(cell: int) -> str:
    """Hash, TTL: nodes with a watcher of a cell of the map."""
    return f"{_before}location:cell:{cell}"


def location_areas() -> str:
    """String, TTL: there is a watcher of cells."""
    return f"{_before}location:areas"


def location_node(node: str) -> str:
    """String, TTL: what a node watches is noted here."""
    return f"{_before}location:node:{node}"


def location_to(node: str) -> str:
    """Channel: positions for a node."""
    return f"{_before}location:to:{node}"


def location_news() -> str:
    """Channel: changes of entities, for all nodes."""
    return f"{_before}location:news"


def status_user(user: int) -> str:
    """Hash: node -> what the user's sessions on it make of the user's status."""
    return f"{_before}status:user:{user}"


def status_node(node: str) -> str:
    """Hash: user -> the guilds in which a node shows the user's status."""
    return f"{_before}status:node:{node}"


def status_voices_of(node: str) -> str:
    """Hash: `guild user` -> nothing, the voice states that sessions of a node have made."""
    return f"{_before}status:voices-of:{node}"


def status_nodes() -> str:
    """Set: nodes that have noted statuses or voice states."""
    return f"{_before}status:nodes"


def status_guild(guild: int) -> str:
    """Hash: user -> JSON of the status of a member who is not offline."""
    return f"{_before}status:guild:{guild}"


def status_voice(guild: int) -> str:
    """Hash: user -> session and JSON of the voice state of a member in a voice channel."""
    return f"{_before}status:voice:{guild}"


def status_watched(guild: int) -> str:
    """String, TTL: somebody wants to be told of statuses in the guild."""
    return f"{_before}status:watched:{guild}"


def status_untold() -> str:
    """Sorted set: what has changed and was not told yet, by when it changed (ms)."""
    return f"{_before}status:untold"


def status_session(session: str) -> str:
    """String, TTL: what a session has set its status to, for the node that goes on with it."""
    return f"{_before}status:session:{session}"
