"""The page of `fanfare top`."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fanfare.observe.figures import Figures, figures
from fanfare.observe.page import amount, page
from fanfare.observe.sample import Kafka, Process, Sample, group_of

SECONDS = 2


def seen(
    owners: list[str | None], *, lag: int = 0, done: int = 0, members: list[str] | None = None, **more: object
) -> Figures:
    """A fan-out group whose partitions 0, 1... these members have."""
    names = members if members is not None else sorted({owner for owner in owners if owner})

    def at(at_s: float, committed: int) -> Sample:
        said = {
            "state": "Stable",
            "members": [
                {
                    "client": name,
                    "host": "h",
                    "partitions": [
                        f"chat.events/{number}" for number, owner in enumerate(owners) if owner == name
                    ],
                }
                for name in names
            ],
            "partitions": {
                f"chat.events/{number}": {
                    "committed": committed,
                    "end": committed + lag,
                    "lag": lag,
                    "member": owner,
                }
                for number, owner in enumerate(owners)
            },
        }
        return Sample(at_s=at_s, time=0, groups={"fanout": group_of("fanout", said)}, **more)  # type: ignore[arg-type]

    return figures(at(0, 0), at(SECONDS, done * SECONDS))


def text(found: Figures, width: int = 80) -> list[str]:
    return [line.plain.rstrip() for line in page(found, width)]


def row(lines: list[str], name: str) -> list[str]:
    """The cells of a member."""
    (found,) = (line for line in lines if line.startswith(f"  {name} "))
    return found.split()[1:]


def test_a_partition_is_in_the_row_of_its_member():
    lines = text(seen(["fanout.1", "fanout.2", "fanout.1"], lag=12, done=7))
    assert row(lines, "fanout.1") == ["12", "·", "12", "14/s"]
    assert row(lines, "fanout.2") == ["·", "12", "·", "7/s"]
    assert any(re.match(r"fanout +2 members   lag 36   in 21/s   done 21/s", line) for line in lines)


def test_who_has_nothing_is_said_to_be_idle_and_why():
    lines = text(seen(["fanout.1", "fanout.2"], members=["fanout.1", "fanout.2", "fanout.3"]))
    assert "  fanout.3 is idle: every partition has its member already" in lines


def test_partitions_without_a_member_have_a_row_of_their_own():
    lines = text(seen(["fanout.1", None], lag=5))
    assert row(lines, "nobody") == ["·", "5", "0/s"]


def test_a_group_that_does_not_get_on_says_so():
    assert any("does not get on" in line for line in text(seen(["fanout.1"], lag=5)))


def test_many_partitions_are_shown_in_several_tables_and_none_is_left_out():
    lines = text(seen(["fanout.1"] * 30, lag=1))
    numbers = [word for line in lines if line.startswith("  chat.events ") for word in line.split()[1:-1]]
    assert numbers == [str(number) for number in range(30)]


def test_a_quiet_topic_is_named_and_not_shown():
    found = seen(["fanout.1"] * 3)
    (group,) = found.groups
    other = msgspec.structs.replace(group.partitions[0], topic="guild.events")
    quiet = msgspec.structs.replace(group, partitions=(*group.partitions, other))
    lines = text(msgspec.structs.replace(found, groups=(quiet,)))
    # The widest topic is shown whatever happens, so that one sees who has which partition.
    assert [line.split()[0] for line in lines if line.startswith("  ")][:2] == ["chat.events", "fanout.1"]
    assert "  nothing happens in guild.events (1)" in lines
    busy = msgspec.structs.replace(other, lag=3)
    lines = text(
        msgspec.structs.replace(
            found, groups=(msgspec.structs.replace(quiet, partitions=(*group.partitions, busy)),)
        )
    )
    assert any(line.startswith("  guild.events ") for line in lines)


def test_what_is_away_and_what_is_not_ready_stands_at_the_end():
    gone = Process(name="notifier.1", role="notifier", state="running", why="chat.deliveries/3 is held: away")
    lines = text(
        seen(
            ["fanout.1"], processes=(gone,), problems={"redis": "no answer in 2 s"}, kafka=Kafka(3, 16, 2, 0)
        )
    )
    assert lines[0].startswith("fanfare  not ready")
    assert any(
        line.startswith("Kafka ") and "3 brokers, 2 of 16 partitions not in sync" in line for line in lines
    )
    assert lines[-2].split() == ["Redis", "is", "away:", "no", "answer", "in", "2", "s"]
    assert lines[-1].split() == ["notifier.1", "chat.deliveries/3", "is", "held:", "away"]


@given(
    owners=st.lists(st.sampled_from([None, "fanout.1", "fanout.12", "a-name-that-is-long@10.11.12.13#2"])),
    lag=st.integers(0, 10**12),
    done=st.integers(0, 10**9),
    width=st.integers(60, 200),
    counts=st.integers(0, 10**9),
)
def test_no_line_is_longer_than_the_terminal(owners, lag, done, width, counts):
    gateway = Process(
        name="gateway." + "1" * (counts % 40),
        role="gateway",
        live=counts,
        away=counts,
        accepted=counts,
        delivery={0.1: 0, 30.0: counts},
    )
    found = seen(
        owners, lag=lag, done=done, processes=(gateway,), problems={"kafka": "no broker answers " * 20}
    )
    assert [line.plain for line in page(found, width) if cell_len(line.plain) > width] == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.54, "0.5"),
        (9.97, "10"),
        (9999, "9999"),
        (10_000, "10k"),
        (999_700, "1.0M"),
        (3.42e6, "3.4M"),
    ],
)
def test_an_amount(value, said):
    assert amount(value) == said


@given(st.floats(0, 9.9e11))
def test_an_amount_has_four_characters_at_the_most(value):
    assert len(amount(value)) <= 4
