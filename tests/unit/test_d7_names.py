"""D7: with a prefix, every name that two installations could share is another one."""

import inspect

import pytest
from aiokafka import TopicPartition as KafkaPartition
from pydantic import SecretStr, ValidationError

from fanfare.bus.names import Names, TopicPartition
from fanfare.presence import keys
from fanfare.settings import Settings
from fanfare.store.database import dsn


@pytest.fixture
def blue():
    keys.use_prefix("blue")
    yield
    keys.use_prefix("")


def every_key() -> set[str]:
    """What each function of the module makes."""
    made = set()
    for name in keys.__all__:
        function = getattr(keys, name)
        if name != "use_prefix":
            made.add(function(*["7" for _ in inspect.signature(function).parameters]))
    return made


def test_d7_every_redis_key_has_the_prefix(blue):
    assert {key for key in every_key() if not key.startswith("blue:")} == set()


def test_d7_without_a_prefix_the_keys_are_those_of_the_design():
    assert {"inbox:{7}", "inbox:{7}:at", "epoch", "guild:7:nodes", "nonces:ready"} <= every_key()


@pytest.mark.parametrize("prefix", ["", "blue"])
def test_d7_topics_and_groups_there_and_back(prefix):
    names = Names(Settings(prefix=prefix))
    real = names.kafka("chat.events")
    assert real == ("blue.chat.events" if prefix else "chat.events")
    assert names.ours(real) == names.asked(real) == names.asked("chat.events") == "chat.events"
    assert names.partition(TopicPartition("chat.events", 3)) == KafkaPartition(real, 3)
    assert names.back(KafkaPartition(real, 3)) == TopicPartition("chat.events", 3)


def test_d7_only_the_own_topics_are_listed():
    there = ["__consumer_offsets", "blue.chat.events", "chat.events", "blues.chat.events"]
    assert Names(Settings(prefix="blue")).listed(there) == ["chat.events"]


def test_d7_tables_are_in_a_schema_of_the_prefix():
    url = SecretStr("postgresql://u:p@db/x?sslmode=require")
    assert dsn(Settings(postgres=url)) == url.get_secret_value()
    assert dsn(Settings(postgres=url, prefix="blue")).endswith("?sslmode=require&search_path=%22blue%22")


@pytest.mark.parametrize("prefix", ["Blue", "a.b", "a:b", "{a}", "a_b", "-a", "a-", "9a", "a b", "a" * 33])
def test_d7_a_prefix_that_some_store_would_not_take_is_refused(prefix):
    with pytest.raises(ValidationError):
        Settings(prefix=prefix)
