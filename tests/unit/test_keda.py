"""What `fanfare autoscale --keda` prints."""

import re

from fanfare.autoscale.decide import Aim
from fanfare.autoscale.keda import Scaled, manifest, usual_rate
from fanfare.capacity.units import Service

AIM = Aim(drain_s=20, settle_s=10, calm_s=90, least=2, most=30)


def printed(**topics: int) -> str:
    named = {name.replace("_", "."): count for name, count in topics.items()}
    scaled = Scaled("fanout", "blue.fanout", named, per_worker=50, how="measured")
    return manifest(scaled, "kafka:9092", AIM)


def values(text: str, name: str) -> list[str]:
    return re.findall(rf"^ *{name}: \"?([^\"\s]+)", text, re.MULTILINE)


def test_the_numbers_are_those_of_the_autoscaler():
    """A worker's part of a lag of `lagThreshold` is done in the stated time."""
    text = printed(blue_chat_events=8, blue_guild_events=4)
    assert values(text, "lagThreshold") == ["1000", "1000"]
    assert values(text, "minReplicaCount") == ["2"]
    assert values(text, "periodSeconds") == ["10", "90"]
    assert values(text, "topic") == ["blue.chat.events", "blue.guild.events"]
    assert values(text, "name") == ["fanfare-fanout", "fanfare-fanout"]  # as in k8s/base
    assert set(values(text, "consumerGroup")) == {"blue.fanout"}


def test_there_are_no_more_pods_than_the_largest_topic_has_partitions():
    assert values(printed(chat=8, guild=4), "maxReplicaCount") == ["8"]
    assert values(printed(chat=300, guild=4), "maxReplicaCount") == ["30"]


def test_a_worker_with_a_backlog_does_what_its_unit_costs_let_it():
    unit = Service(idle_us=100_000, message_us=10, batch_us=5_000, append_us=30)
    # 0.6 of a core, less what it uses when idle; 10 + 30 + 5000 / 500 us for each record.
    assert usual_rate(unit, batch_records=500) == 500_000 / 50
