"""What the start-up checks make of the answers of stores: errors, waits or warnings, each naming the thing."""

import fnmatch
import inspect
import re
from importlib import resources
from pathlib import Path

import pytest

from fanfare.bus.names import Names
from fanfare.bus.questions import Broker, Cluster, Topic
from fanfare.bus.topics import specs
from fanfare.checks import redis, redis_rights
from fanfare.checks.findings import Level, error, refusals, waits, warning
from fanfare.checks.kafka import (
    judge_brokers,
    judge_configs,
    judge_rights,
    judge_timeouts,
    judge_topics,
)
from fanfare.checks.postgres import Facts, judge, newest_step
from fanfare.checks.rights import KAFKA, ROLES, grants, kafka_acls
from fanfare.presence import keys
from fanfare.settings import Settings

SETTINGS = Settings()
NAMES = Names(SETTINGS)
ALL = frozenset(range(31))
GOOD_REDIS = {
    "redis_mode": "standalone", "role": "master", "redis_version": "7.2.4", "maxmemory_policy": "noeviction",
    "maxmemory": 0, "used_memory": 1,
}  # fmt: skip
GOOD_POSTGRES = Facts(
    "fanfare", 180_000, "UTF8", standby=False, readonly=False, off_s=0.0, step=newest_step()
)


def topic(name: str, **fields) -> Topic:
    spec = specs(SETTINGS)[name]
    return Topic(name, "", spec.partitions, 1, ALL)._replace(**fields)


def graded(found) -> list[tuple[Level, str]]:
    return [(one.level, one.said) for one in found]


def only(found, level: Level, *words: str) -> None:
    """There is one finding, of this level, and it says these words."""
    ((grade, said),) = graded(found)
    assert grade is level, said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("info", "level", "words"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, Level.ERROR, ("maxmemory-policy is allkeys-lru", "noeviction")),
        ({"maxmemory_policy": "volatile-ttl"}, Level.ERROR, ("volatile-ttl",)),
        ({"redis_mode": "cluster"}, Level.ERROR, ("cluster",)),
        ({"cluster_enabled": 1}, Level.ERROR, ("cluster",)),
        ({"server_mode": "sentinel"}, Level.ERROR, ("sentinel",)),
        ({"redis_mode": "sentinel"}, Level.ERROR, ("sentinel",)),
        ({"role": "slave", "master_host": "r1", "master_port": 6380}, Level.ERROR, ("r1:6380",)),
        ({"redis_version": "6.2.14"}, Level.ERROR, ("6.2.14", "7.0")),
        ({"maxmemory": 64 << 20}, Level.WARNING, ("64 MB",)),
        ({"maxmemory": 1 << 30, "used_memory": 1000 << 20}, Level.WARNING, ("1000 of 1024 MB",)),
    ],
)
def test_a_redis_that_does_not_fit(info, level, words):
    only(redis.judge(redis.Facts(GOOD_REDIS | info, 0.0, ())), level, *words)


def test_a_redis_that_fits_and_one_with_another_time():
    assert redis.judge(redis.Facts(GOOD_REDIS, 0.3, ())) == []
    only(redis.judge(redis.Facts(GOOD_REDIS, -2.0, ())), Level.WARNING, "-2.0 s")
    only(redis.judge(redis.Facts(GOOD_REDIS, 9.0, ())), Level.WAITS, "+9.0 s", "sends are refused")
    only(
        redis.judge(redis.Facts(GOOD_REDIS, 0.0, ("XADD on inbox:{*}: NOPERM",))),
        Level.ERROR,
        "XADD on inbox",
    )


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        ({"version": 130_000}, Level.ERROR, ("version 13",)),
        ({"encoding": "SQL_ASCII"}, Level.ERROR, ("SQL_ASCII", "UTF8")),
        ({"standby": True, "readonly": True}, Level.ERROR, ("standby",)),
        ({"readonly": True}, Level.WAITS, ("default_transaction_read_only",)),
        ({"step": None}, Level.WAITS, ("fanfare migrate",)),
        ({"step": "0001"}, Level.WAITS, ("0001", "fanfare migrate")),
        ({"refused": [("guilds", "INSERT")]}, Level.ERROR, ("fanfare may not INSERT on table guilds",)),
        ({"temp": False}, Level.ERROR, ("temporary",)),
        ({"off_s": -60.0}, Level.WARNING, ("-60.0 s",)),
    ],
)
def test_a_postgresql_that_does_not_fit(fields, level, words):
    only(judge(GOOD_POSTGRES._replace(**fields), newest_step(), temp=True), level, *words)


def test_a_postgresql_that_fits():
    assert judge(GOOD_POSTGRES, newest_step(), temp=True) == []
    assert judge(GOOD_POSTGRES._replace(step="9999"), newest_step(), temp=True) == []  # a later version's
    assert judge(GOOD_POSTGRES._replace(temp=False), newest_step(), temp=False) == []


@pytest.mark.parametrize(
    ("config", "level", "words"),
    [
        ({"cleanup.policy": "compact"}, Level.ERROR, ("chat.events", "cleanup.policy=compact")),
        ({"cleanup.policy": "compact,delete"}, Level.ERROR, ("vanish",)),
        ({"message.timestamp.type": "CreateTime"}, Level.ERROR, ("LogAppendTime",)),
        ({"retention.ms": "1000"}, Level.ERROR, ("retention.ms=1000", "600 s")),
        ({"retention.ms": "86400000"}, Level.WARNING, ("retention.ms=86400000",)),
        ({"retention.bytes": "1000"}, Level.WARNING, ("retention.bytes=1000",)),
        ({"min.insync.replicas": "2"}, Level.ERROR, ("min.insync.replicas=2", "1 replicas")),
        ({"max.message.bytes": "65536"}, Level.WARNING, ("max.message.bytes=65536",)),
        ({"unclean.leader.election.enable": "true"}, Level.WARNING, ("unclean",)),
    ],
)
def test_a_topic_whose_settings_are_not_ours(config, level, words):
    good = {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "604800000",
    }
    spec = specs(SETTINGS)["chat.events"]
    assert judge_configs(topic("chat.events"), spec, good, 1) == []
    only(judge_configs(topic("chat.events"), spec, good | config, 1), level, *words)


def test_three_brokers_want_three_replicas_and_two_in_sync():
    spec = specs(SETTINGS)["chat.events"]
    only(judge_configs(topic("chat.events", replicas=3), spec, {}, 3), Level.WARNING, "min.insync.replicas")
    brokers = [Broker(number, "k", 1) for number in range(3)]
    found = judge_topics(NAMES, specs(SETTINGS), Cluster("c", brokers, [topic("chat.events")], ALL))
    only(found, Level.WARNING, "chat.events has 1 replicas")


def test_events_and_deliveries_have_as_many_partitions():
    topics = [topic("chat.events"), topic("chat.deliveries", partitions=4)]
    found = judge_topics(NAMES, specs(SETTINGS), Cluster("c", [Broker(1, "k", 1)], topics, ALL))
    only(found, Level.ERROR, "chat.events has 8 partitions and chat.deliveries 4")
    topics = [topic("chat.events", partitions=4), topic("chat.deliveries", partitions=4)]
    found = judge_topics(NAMES, specs(SETTINGS), Cluster("c", [Broker(1, "k", 1)], topics, ALL))
    only(found, Level.WARNING, "4 partitions instead of 8")


def test_d5_each_missing_right_names_topic_and_right():
    there = {name: topic(name) for name in (*KAFKA["notifier"].read, *KAFKA["notifier"].write)}
    assert judge_rights(NAMES, ["notifier"], there) == []
    unreadable = there | {"chat.deliveries": topic("chat.deliveries", operations=frozenset({8}))}
    only(judge_rights(NAMES, ["notifier"], unreadable), Level.ERROR, "no right to READ topic chat.deliveries")
    hidden = there | {"guild.deliveries": topic("guild.deliveries", error="TopicAuthorizationFailedError")}
    only(judge_rights(NAMES, ["notifier"], hidden), Level.ERROR, "READ topic guild.deliveries")
    missing = there | {"guild.deliveries": topic("guild.deliveries", error="UnknownTopicOrPartitionError")}
    only(judge_rights(NAMES, ["notifier"], missing), Level.WAITS, "guild.deliveries", "fanfare topics create")


def test_d5_an_address_that_leads_nowhere_is_named():
    two = [Broker(1, "kafka-1.invalid", 9092), Broker(2, "10.0.0.9", 9092)]
    only(
        judge_brokers(two, {two[0]: "no such name"}),
        Level.WARNING,
        "kafka-1.invalid:9092",
        "advertised.listeners",
    )
    assert {one.level for one in judge_brokers(two, dict.fromkeys(two, "no answer"))} == {Level.WAITS}
    assert judge_brokers(two, {}) == []


def test_a_session_timeout_that_brokers_refuse():
    only(judge_timeouts(SETTINGS, {"group.min.session.timeout.ms": "6000"}), Level.ERROR, "3000", "6000")
    only(judge_timeouts(SETTINGS, {"auto.create.topics.enable": "true"}), Level.WARNING, "auto.create")
    assert judge_timeouts(SETTINGS, {"group.min.session.timeout.ms": "1000"}) == []


def test_only_errors_refuse_and_all_are_said():
    found = [error("Kafka", "a"), waits("Redis", "b"), warning("Redis", "c"), error("Redis", "d")]
    assert refusals(found) == "Kafka: a; Redis: d"
    assert refusals(found[1:3]) == ""


SCRIPTS = {
    "gateway": (
        "s_now", "create", "renew", "mark", "missing", "raise", "open", "unregister",
        "move", "move_after_loss", "unkept", "nonce_settle", "nonce_swap", "recent_put", "reaction_put",
        "interaction_claim", "status_put", "status_told", "voice_put", "voice_move", "begin_anew",
    ),
    "fanout": ("claim",),
    "notifier": ("s_now", "append", "applied", "locate"),
    "archiver": ("trim_recent",),
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_what_scripts_do_is_among_the_rights_of_those_who_run_them(role):
    """Redis checks the user of a script for each command in it: one that is not asked for would fail under load."""
    allowed = {rule[1:] for rule in redis_rights.acl(role) if rule.startswith("+")}
    for name in SCRIPTS[role]:
        text = resources.files("fanfare.presence").joinpath("lua", f"{name}.lua").read_text()
        assert {word.lower() for word in re.findall(r"redis\.call\('(\w+)'", text)} <= allowed, name


def test_every_script_has_somebody_who_runs_it():
    there = {
        path.name.removesuffix(".lua")
        for path in resources.files("fanfare.presence").joinpath("lua").iterdir()
    }
    assert there == {name for names in SCRIPTS.values() for name in names}


def test_every_key_is_among_the_rights_of_somebody():
    """A key that a new feature brings along needs a line in redis_rights, or least rights end at it."""
    patterns = {pattern for role in ROLES for pattern in redis_rights.patterns(role)}
    for name in keys.__all__:
        function = getattr(keys, name)
        # Not the beginning of all names, and no channels: these are asked for in no other way than by using them.
        if name not in {"use_prefix", "all_begin_with", "location_to", "location_news"}:
            key = function(*["7" for _ in inspect.signature(function).parameters])
            assert any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns), key


# What redis-py calls otherwise than Redis does; and what is no command.
PYTHON_NAMES = {"delete": "del", "script_load": "script|load"}
NO_COMMANDS = {
    "aclose", "append", "client", "connection_pool", "execute", "execute_command", "expire_at", "pipeline", "queue",
    "run", "response_callbacks", "ask", "load", "from_url", "drop",
}  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_every_command_of_a_process_is_among_its_rights(role):
    """As far as it can be seen in the text of its own package."""
    allowed = {rule[1:] for rule in redis_rights.acl(role) if rule.startswith("+")}
    for path in (Path(__file__).parents[2] / role).rglob("*.py"):
        for word in re.findall(r"\b(?:pipe|redis|_redis|_reader)\.([a-z_]+)\(", path.read_text()):
            if word not in NO_COMMANDS:
                assert PYTHON_NAMES.get(word, word) in allowed, f"{path}: {word}"


def test_patterns_of_keys_have_the_prefix_and_any_id():
    keys.use_prefix("blue0")
    try:
        assert "blue0:guild:*:nodes" in redis_rights.patterns("notifier")
        assert "blue0:inbox:{*}" in redis_rights.patterns("notifier")
        assert all(pattern.startswith("blue0:") for role in ROLES for pattern in redis_rights.patterns(role))
    finally:
        keys.use_prefix("")


def test_the_commands_that_give_rights():
    blue = Settings(prefix="blue")
    words = [" ".join(each) for each in kafka_acls(blue, "fanout", "User:f")]
    assert any("--operation Read" in each and "--topic=blue.chat.events" in each for each in words)
    assert any("--group=blue.fanout" in each for each in words)
    assert 'GRANT SELECT, INSERT, UPDATE ON "blue".messages TO "a"' in list(grants(blue, "archiver", "a"))
    assert list(grants(blue, "fanout", "a"))[1:] == []


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_is_asked_for_is_what_it_is_given(role):
    """`fanfare check` asks for each call that `fanfare rights redis` allows, and for no other one."""
    rules = redis_rights.acl(role)
    asked = {call[0] for call in redis_rights.probes(role)}
    assert asked <= {rule[1:].split("|")[0] for rule in rules if rule.startswith("+")}
    assert {f"~{pattern}" for pattern in redis_rights.patterns(role)} == {
        rule for rule in rules if rule.startswith("~")
    }
