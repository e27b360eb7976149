"""The least rights of each process in Kafka and PostgreSQL. Pure.

`fanfare rights` prints them as commands, the checks ask for each of them, and a test runs the whole pipeline with no
others.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from fanfare.bus.names import Names
from fanfare.bus.topics import APP_EVENTS, DELIVERIES_OF, GROWTH, INSTALLATION, dead_letters_of
from fanfare.settings import Settings

__all__ = [
    "FUNCTIONS",
    "GEOFENCES_GROUP",
    "KAFKA",
    "PARQUET_GROUP",
    "POSTGRES",
    "ROLES",
    "KafkaRights",
    "grants",
    "kafka_acls",
]

ROLES: Final = ("gateway", "fanout", "notifier", "archiver")

PARQUET_GROUP: Final = "archiver-parquet"
"""The archiver's second group, where FANFARE_PARQUET is set."""
GEOFENCES_GROUP: Final = "geofences"
"""The archiver's group for what positions mean for geofences and orders."""
_EVENTS: Final = tuple(DELIVERIES_OF)
_DELIVERIES: Final = tuple(DELIVERIES_OF.values())


class KafkaRights(NamedTuple):
    """Rights on topics and groups, by our names. READ and WRITE hold DESCRIBE."""

    read: tuple[str, ...]
    write: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """The groups that it is a member of: READ."""
    watched: str = ""
    """The group whose offsets it looks at: DESCRIBE."""


KAFKA: Final[Mapping[str, KafkaRights]] = {
    "gateway": KafkaRights(
        ("chat.events", *_DELIVERIES, APP_EVENTS, INSTALLATION, GROWTH),
        (*_EVENTS, APP_EVENTS, GROWTH),
        watched="notifier",
    ),
    "fanout": KafkaRights(
        (*_EVENTS, INSTALLATION, GROWTH), (*_DELIVERIES, *map(dead_letters_of, _EVENTS)), groups=("fanout",)
    ),
    "notifier": KafkaRights(
        (*_DELIVERIES, INSTALLATION, GROWTH), tuple(map(dead_letters_of, _DELIVERIES)), groups=("notifier",)
    ),
    "archiver": KafkaRights(
        (*_EVENTS, INSTALLATION, GROWTH),
        tuple(map(dead_letters_of, _EVENTS)),
        groups=("archiver", PARQUET_GROUP, GEOFENCES_GROUP),
    ),
}

_GUILD_TABLES: Final = (
    "users", "guilds", "roles", "members", "channels", "overwrites", "thread_members", "outbox", "bans", "invites",
    "audit_log", "emojis",
)  # fmt: skip
_APPLICATION_TABLES: Final = ("commands", "command_permissions", "webhooks")
_LOCATION_TABLES: Final = ("entities", "devices", "geofences", "app_outbox")
_CHANGE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")

# By table. The fan-out and the notifier do not use PostgreSQL.
POSTGRES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "gateway": {
        **dict.fromkeys(
            (*_GUILD_TABLES, *_APPLICATION_TABLES, *_LOCATION_TABLES),
            _CHANGE,
        ),
        "messages": ("SELECT",),
        "reactions": ("SELECT",),
        "files": ("SELECT", "INSERT", "UPDATE"),
        "positions": ("SELECT",),
        # To note a new secret.
        "installation": ("SELECT", "UPDATE"),
        "alembic_version": ("SELECT",),
    },
    "archiver": {
        "messages": ("SELECT", "INSERT", "UPDATE"),
        "reactions": _CHANGE,
        "files": _CHANGE,
        "positions": ("SELECT", "INSERT"),
        "partitions": ("SELECT",),
        "entities": ("SELECT", "UPDATE"),
        "geofences": ("SELECT",),
        "outbox": ("INSERT",),
        "app_outbox": ("INSERT",),
        "forgotten": ("SELECT",),
        "installation": ("SELECT",),
        "alembic_version": ("SELECT",),
    },
}


# Functions that do, with their owner's rights, what a role has no right to do by itself.
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "archiver": ("make_partitions(text, timestamp)", "drop_partitions(text, timestamp)"),
}


def kafka_acls(settings: Settings, role: str, principal: str) -> Iterator[list[str]]:
    """The arguments of `fanfare kafka acls --add` that give a role its rights."""
    names, rights = Names(settings), KAFKA[role]
    who = ["--add", "--allow-principal", principal]
    for operation, topics in (("Read", rights.read), ("Write", rights.write)):
        yield [*who, "--operation", operation, *(f"--topic={names.kafka(topic)}" for topic in topics)]
    for operation, group in (*(("Read", group) for group in rights.groups), ("Describe", rights.watched)):
        if group:
            yield [*who, "--operation", operation, f"--group={names.kafka(group)}"]


def grants(settings: Settings, role: str, user: str) -> Iterator[str]:
    """The SQL statements that give a role its rights; run by the owner of the tables."""
    schema = settings.prefix or "public"
    yield f'GRANT USAGE ON SCHEMA "{schema}" TO "{user}"'
    for table, operations in POSTGRES.get(role, {}).items():
        yield f'GRANT {", ".join(operations)} ON "{schema}".{table} TO "{user}"'
    for function in FUNCTIONS.get(role, ()):
        yield f'GRANT EXECUTE ON FUNCTION "{schema}".{function} TO "{user}"'
