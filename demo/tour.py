"""`fanfare demo kafka`: from an empty cluster to a broker that dies, by commands that anybody can type."""

import asyncio
import contextlib
import re
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from demo.own_kafka import FailedError, OwnKafka
from fanfare.bus import topics
from fanfare.bus.errors import KafkaError
from fanfare.bus.groups import describe_groups

__all__ = ["tour"]

_TOPIC: Final = "notes"
_GROUP: Final = "readers"
_PARTITIONS: Final = 3
_WAIT_S: Final = 60.0
# Three keys, of which each is in another one of the three partitions.
_FIRST: Final = (
    "kitchen:tea is ready",
    "porch:the roses are out",
    "garage:who has the key?",
    "kitchen:and there is cake",
    "porch:mind the wasps",
    "garage:found it",
)
_SECOND: Final = (
    "kitchen:cake is gone",
    "porch:it rains",
    "garage:the key is gone again",
    "kitchen:more tea?",
    "porch:inside, all of you",
    "garage:it is open",
)
_THIRD: Final = ("kitchen:good night", "porch:good night", "garage:good night")
_FOURTH: Final = ("kitchen:still there?", "porch:yes", "garage:nothing happened here")


def _each(option: str, *values: str) -> tuple[str, ...]:
    """An option that is given once for each value."""
    return tuple(word for value in values for word in (option, value))


_PRODUCER: Final = (
    *("kafka", "console-producer", "--topic", _TOPIC),
    *_each("--reader-property", "parse.key=true", "key.separator=:"),
)
_SHOWN: Final = _each("--formatter-property", "print.partition=true", "print.offset=true", "print.key=true")
_CONSUMER: Final = ("kafka", "console-consumer", "--topic", _TOPIC)
_RECORD: Final = re.compile(r"^Partition:(\d+)\s+Offset:(\d+)\s+(\S+)\s+(.*)$")
_STYLES: Final = ("cyan", "yellow")


async def tour(console: Console, pause: Callable[[], Awaitable[None]]) -> None:
    """All of it.

    Args:
        console: where it is shown.
        pause: waits until the next step is wanted.

    Raises:
        FailedError: a command failed, or a record did not come.

    """
    console.print("Starting three brokers in a folder of their own: about 15 s\n")
    async with OwnKafka() as kafka:
        guide = _Guide(kafka, console, pause)
        await _topic(guide)
        await _everybody(guide)
        await _sharing(guide)
        await _offsets(guide)
        await _replay(guide)
        await _a_broker_dies(guide)
    console.print(
        "\nThat is all that Fanfare is built on: gateways produce, and fan-outs, notifiers and archivers are groups.\n"
        "`fanfare demo scale` shows one of these groups grow and shrink under load."
    )


class _Guide:
    """Says what a step is about, prints each command, runs it, and shows what it says."""

    def __init__(self, kafka: OwnKafka, console: Console, pause: Callable[[], Awaitable[None]]) -> None:
        self.kafka = kafka
        self._console = console
        self._pause = pause
        self._number = 0

    async def step(self, title: str, *text: str) -> None:
        """Begin a step."""
        if self._number:
            await self._pause()
        self._number += 1
        self._console.print(Text(f"\n{self._number}. {title}", "bold"))
        for line in text:
            self.note(line)

    def note(self, line: str) -> None:
        """Say something."""
        self._console.print(Padding(line, (0, 0, 0, 3)))

    def command(self, words: Sequence[str], *, typed: Sequence[str] = (), note: str = "") -> None:
        """Print a command as one types it."""
        self._console.print()
        text = Text("   $ ", "dim").append(shlex.join(words), "bold")
        self._console.print(text.append(f"   {note}" if note else "", "dim"), soft_wrap=True)
        for line in typed:
            self._console.print(Text("   > ", "dim").append(line), soft_wrap=True)

    def show(self, line: str, style: str = "", who: str = "") -> None:
        """A line of what it said."""
        if line.strip():
            self._console.print(
                Text(f"   {who}" + line.expandtabs(4).rstrip(), style or "green"), soft_wrap=True
            )

    async def run(self, *words: str, typed: Sequence[str] = ()) -> list[str]:
        """Print it, run it, show it."""
        self.command(("fanfare", *words), typed=typed)
        lines = await self.kafka.run(*words, typed=typed)
        if not typed:  # a producer prints nothing but its prompts
            for line in lines:
                self.show(line)
        return lines

    async def read(self, *words: str, count: int) -> list[str]:
        """Run a consumer that is to get so many records. Raises FailedError: it got others."""
        lines = await self.run(*words, "--max-messages", str(count))
        got = [line for line in lines if _RECORD.match(line)]
        if len(set(got)) != count:
            raise FailedError(f"{count} records were to come, and {len(set(got))} came")
        return got


async def _eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    until = time.monotonic() + _WAIT_S
    while True:
        # A broker that has just died does not answer, and the next question goes to another one.
        with contextlib.suppress(KafkaError, OSError):
            if await condition():
                return
        if time.monotonic() > until:
            raise FailedError(f"not within {_WAIT_S:.0f} s: {what}")
        await asyncio.sleep(0.3)


async def _topic(guide: _Guide) -> None:
    await guide.step(
        "A topic is a log in parts",
        "A record is appended to one of its partitions, and stays there, in order, however often it is read.",
        "Three replicas: each partition is on three brokers, one of which leads.",
    )
    words = ("--create", "--topic", _TOPIC, "--partitions", str(_PARTITIONS), "--replication-factor", "3")
    await guide.run("kafka", "topics", *words)
    await guide.run("kafka", "topics", "--describe", "--topic", _TOPIC)


async def _everybody(guide: _Guide) -> None:
    await guide.step(
        "Every consumer sees everything",
        "The key (before the colon) decides on the partition: records of one key stay in their order.",
        "Two consumers, each for itself: reading takes nothing away.",
    )
    await guide.run(*_PRODUCER, typed=_FIRST)
    for _ in range(2):
        await guide.read(*_CONSUMER, "--from-beginning", *_SHOWN, count=len(_FIRST))


async def _sharing(guide: _Guide) -> None:
    await guide.step(
        "A group shares",
        f"Two consumers name the same group: each gets the partitions that the other one does not have. There are "
        f"{_PARTITIONS}, so one has two of them; a fourth consumer would have none. They wait for what is written from "
        "now on, and Ctrl-C ends them.",
    )
    words = (*_CONSUMER, "--group", _GROUP, *_SHOWN)
    members = []
    for number in range(2):
        guide.command(("fanfare", *words), note=f"# terminal {number + 1}")
        members.append(await guide.kafka.start(*words))
    await _eventually(
        lambda: _shared(guide.kafka), "both consumers are in the group and know where they begin"
    )
    await guide.run(*_PRODUCER, typed=_SECOND)
    got: list[list[str]] = [[], []]
    listening = [asyncio.create_task(_listen(*pair)) for pair in zip(members, got, strict=True)]

    async def all_came() -> bool:
        return sum(map(len, got)) >= len(_SECOND)

    try:
        await _eventually(all_came, "the group gets what was written")
        for number, lines in enumerate(got):
            for line in lines:
                guide.show(line, _STYLES[number], f"terminal {number + 1}  ")
        await guide.run("kafka", "consumer-groups", "--describe", "--group", _GROUP, "--members", "--verbose")
    finally:
        for process in members:
            await guide.kafka.stop(process)
        await asyncio.gather(*listening)
    if not all(got) or len(set(got[0] + got[1])) != len(_SECOND):
        raise FailedError("the two consumers did not share what was written")


async def _shared(kafka: OwnKafka) -> bool:
    """Whether two members have all partitions, and each partition has a place where they go on."""
    found = (await describe_groups(kafka.settings)).get(_GROUP)
    if found is None:
        return False
    places = [part["committed"] for part in found["partitions"].values()]
    having = [member for member in found["members"] if member["partitions"]]
    return len(having) == 2 and len(places) == _PARTITIONS and None not in places


async def _listen(process: asyncio.subprocess.Process, got: list[str]) -> None:
    """Gather the records that a consumer prints, until it ends."""
    assert process.stdout is not None
    async for line in process.stdout:
        said = line.decode(errors="replace").rstrip()
        if _RECORD.match(said):
            got.append(said)


async def _offsets(guide: _Guide) -> None:
    await guide.step(
        "A group remembers where it is",
        "Its place in each partition is an offset, kept by Kafka. While nobody reads, records wait: that is the lag.",
    )
    await guide.run(*_PRODUCER, typed=_THIRD)
    await guide.run("kafka", "consumer-groups", "--describe", "--group", _GROUP)
    guide.note("Whoever comes back as this group gets these and no others.")
    await guide.read(*_CONSUMER, "--group", _GROUP, *_SHOWN, count=len(_THIRD))
    await guide.run("kafka", "get-offsets", "--topic", _TOPIC)


async def _replay(guide: _Guide) -> None:
    await guide.step(
        "Back to the beginning",
        "What was read is still there. A group that is set back reads it once more: after a bug, or for a new use.",
    )
    words = ("--reset-offsets", "--to-earliest", "--group", _GROUP, "--topic", _TOPIC, "--execute")
    await guide.run("kafka", "consumer-groups", *words)
    count = len(_FIRST) + len(_SECOND) + len(_THIRD)
    await guide.read(*_CONSUMER, "--group", _GROUP, *_SHOWN, count=count)


async def _a_broker_dies(guide: _Guide) -> None:
    settings = guide.kafka.settings

    async def partitions() -> list[topics.PartitionInfo]:
        (info,) = await topics.describe(settings, [_TOPIC])
        return info.partitions

    leader = (await partitions())[0].leader
    await guide.step(
        "A broker dies, and nothing is lost",
        f"Broker {leader} leads partition 0. It is killed without a word; another one takes over, which has all of it.",
        "A record is acknowledged when two brokers have it (min.insync.replicas=2), so no single one can lose it.",
    )
    pid = guide.kafka.kill(f"kafka.{leader}")
    guide.command(("kill", "-9", str(pid)), note=f"# kafka.{leader}, as fanfare status shows it")

    async def led_by_another() -> bool:
        return (await partitions())[0].leader not in {leader, -1}

    await _eventually(led_by_another, "another broker leads partition 0")
    await guide.run("kafka", "topics", "--describe", "--topic", _TOPIC)
    await guide.run(*_PRODUCER, typed=_FOURTH)
    written = len(_FIRST) + len(_SECOND) + len(_THIRD) + len(_FOURTH)
    got = await guide.read(*_CONSUMER, "--from-beginning", *_SHOWN, count=written)

    async def caught_up() -> bool:
        return all(len(part.in_sync) == len(part.replicas) for part in await partitions())

    guide.note(
        f"fanfare up has started kafka.{leader} again. When it has caught up, it is in sync (Isr) as before:"
    )
    await _eventually(caught_up, "the broker has caught up")
    await guide.run("kafka", "topics", "--describe", "--topic", _TOPIC)
    guide.note(f"Written {written}, read {len(got)}: nothing is lost.")
