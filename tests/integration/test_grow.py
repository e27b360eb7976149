"""`fanfare topics grow` on a running system. Under load, with processes that die, it is a fault of torture."""

import asyncio
import json
import os
import sys

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.system


async def topics(stack: Stack, *words: str, **variables: str) -> tuple[int, str]:
    """A command about topics: exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fanfare.cli",
        "topics",
        *words,
        env=os.environ | {"FANFARE_HOME": str(stack.home)} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def counts(stack: Stack) -> list[int]:
    _, said = await topics(stack, "describe", "location.events", "location.deliveries", "--json")
    return [len(topic["partitions"]) for topic in json.loads(said).values()]


async def test_of_two_at_once_one_grows_the_pair(stack):
    """And each process knows the new number: workers share the partitions out."""
    before, _ = await counts(stack)
    words = ("grow", "location.events", str(before + 1), "--json")
    answers = await asyncio.gather(topics(stack, *words), topics(stack, *words))
    assert sorted(status for status, _ in answers) == [0, 1], answers
    (won,) = (json.loads(said) for status, said in answers if status == 0)
    assert (won["topic"], won["from"], won["to"]) == ("location.events", before, before + 1)
    assert 0 < won["waited_s"] < won["seconds"]
    (lost,) = (said for status, said in answers if status)
    assert "somebody" in lost, lost
    assert await counts(stack) == [before + 1, before + 1]
    groups = json.loads(stack.command("groups", "--json").stdout)
    assert groups["fanout"]["partitions"][f"location.events/{before}"]["member"]
    assert groups["notifier"]["partitions"][f"location.deliveries/{before}"]["member"]


@pytest.mark.parametrize(
    ("topic", "number", "why"),
    [
        ("chat.events", "1", "partitions already"),
        ("chat.deliveries", "1000", "grows together with chat.events"),
        ("nothing", "1000", "nothing cannot grow"),
    ],
)
async def test_what_cannot_be_done_is_said(stack, topic, number, why):
    status, said = await topics(stack, "grow", topic, number)
    assert status == 1
    assert why in said
    assert len(said.splitlines()) == 1


async def test_without_kafka_it_says_so(stack):
    status, said = await topics(stack, "grow", "chat.events", "1000", FANFARE_KAFKA="127.0.0.1:1")
    assert status == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in said
