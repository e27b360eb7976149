"""The pure parts of `fanfare demo`: the plan, the stalls, and what pages show of a story."""

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from demo import plot
from demo.drawing import owners, svg, ticks
from demo.page import Lines, render, summary
from demo.plan import BUDGET, LOAD, Kind, plan
from demo.stalls import arrivals, longest, stalls
from demo.story import Moment, Reader, Step, Story, Worker, result
from demo.web import page
from demo.wording import words
from torture.history import Attempt, History, Outcome, SessionLog


def story() -> Story:
    """A short run: one fan-out, then two, then none for a moment, then an idle third."""
    return Story(
        partitions=2,
        budget=30.0,
        load=45.0,
        sessions=8,
        where="2 cores, <some> & machine",
        steps=[
            Step(
                "fanout.1 alone",
                "",
                "one has all.",
                1,
                0.0,
                2.0,
                lag_before=0,
                lag_after=40,
                rate=30.0,
                gap_s=0.1,
            ),
            Step("add fanout.2", "fanfare scale fanout=2", "shared.", 2, 2.0, 4.0, "2", 40, 10, 60.0, 0.2),
            Step(
                "remove fanout.5 and .4",
                "fanfare scale fanout=3",
                "too many.",
                3,
                4.0,
                6.0,
                "3",
                10,
                0,
                45.0,
                0.15,
            ),
        ],
        moments=[
            Moment(
                1.0, ("fanout.1", "fanout.1"), (20, 20), (Worker("fanout.1", (0, 1), 30.0),), 30.0, 60, 20
            ),
            Moment(3.0, ("fanout.1", ""), (5, 10), (Worker("fanout.1", (0,), 30.0),), 50.0, 100, 85),
            Moment(
                5.0,
                ("fanout.1", "fanout.2"),
                (0, 0),
                (Worker("fanout.1", (0,), 20.0), Worker("fanout.2", (1,), 20.0), Worker("fanout.3", (), 0.0)),
                45.0,
                150,
                150,
            ),
        ],
        readers=[
            Reader("fanout", 150, 150, "live"),
            Reader("analytics", 14_987, 15_018, "your <own>, counts: #cooking has most, 12,345"),
        ],
        accepted=150,
        delivered=1200,
    )


@pytest.mark.parametrize("partitions", [3, 4, 8])
def test_the_plan_adds_up(partitions):
    steps = plan(partitions)
    assert sum(step.share for step in steps) == pytest.approx(1)
    assert [step.members for step in steps if step.kind in {Kind.ALONE, Kind.ADD}] == [
        *range(1, partitions + 1)
    ]
    assert [step.kind for step in steps[-3:]] == [Kind.SPARE, Kind.REMOVE, Kind.KILL]


def test_the_load_overruns_one_fan_out_and_not_two():
    """Else the lag does not grow at first, or does not fall when the second one comes."""
    assert BUDGET < LOAD < 2 * BUDGET


def test_each_step_says_what_it_shows():
    told = empty()
    told.budget = BUDGET
    said = [words(step, told) for step in plan(told.partitions)]
    assert [command for command, _ in said] == [
        "",
        *(f"fanfare scale fanout={count} --no-probe" for count in (2, 3, 4, 5, 3)),
        "kill -9",
    ]
    assert "may do 30 of the 45 messages/s that come: lag grows" in said[0][1]
    assert "two of the four partitions each" in said[1][1]
    assert "four partitions for three members, so one has two" in said[2][1]
    assert "one of the four partitions each" in said[3][1]
    assert "so fanout.5 is idle" in said[4][1]
    assert "lag" not in words(plan(4)[0], empty())[1]


# Stalls


def test_a_backlog_is_no_stall():
    """Three were accepted at once and came one after the other: each waited for the one before."""
    assert [(one.began, one.ended) for one in stalls([(0, 1.0, 2.0), (0, 1.0, 3.0), (0, 1.0, 4.0)])] == [
        (1.0, 2.0),
        (2.0, 3.0),
        (3.0, 4.0),
    ]


def test_silence_without_messages_is_no_stall():
    found = stalls([(0, 1.0, 1.1), (0, 9.0, 9.2)])
    assert longest(found, 0, 10) == pytest.approx(0.2)


def test_partitions_do_not_cover_for_each_other():
    found = stalls([(0, 1.0, 5.0), (1, 2.0, 2.1), (1, 3.0, 3.1), (1, 4.0, 4.1)])
    assert longest(found, 0, 10) == 4.0


def test_a_stall_counts_for_the_step_in_which_it_ends():
    found = stalls([(0, 1.0, 5.0)])
    assert (longest(found, 0, 5), longest(found, 5, 6)) == (0.0, 4.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100), st.floats(0, 50))))
def test_stalls_of_a_partition_do_not_overlap(messages):
    lanes: dict[int, float] = {}
    for one in sorted(
        stalls((part, at, at + took) for part, at, took in messages), key=lambda each: each.ended
    ):
        assert one.ended > one.began >= lanes.get(one.partition, 0.0)
        lanes[one.partition] = one.ended


def test_a_message_has_come_when_the_last_session_has_it():
    history = History()
    for ended in (2.0, 1.5):  # a repetition was answered earlier than the first try
        history.attempt(Attempt("n", 1, 7, "REST", 1.0, ended, Outcome.ACCEPTED, 100))
    history.attempt(Attempt("m", 1, 7, "REST", 1.0, 2.0, Outcome.ACCEPTED, 101))  # came to nobody
    for name, at in (("a", 3.0), ("b", 4.0)):
        log = SessionLog(name, 1)
        history.began(log)
        history.got(log, 100, 1, at)
    assert list(arrivals(history, {7: 2})) == [(2, 1.5, 4.0)]


# Pages


def test_owners_are_stretches_without_holes():
    found = owners(story().moments)
    assert [(one.partition, one.owner, one.began_s, one.ended_s) for one in found] == [
        (0, "fanout.1", 1.0, 5.0),
        (1, "fanout.1", 1.0, 3.0),
        (1, "", 3.0, 5.0),
        (1, "fanout.2", 5.0, 5.0),
    ]


@given(st.floats(0, 1e6), st.integers(2, 10))
def test_ticks_are_few_and_reach_the_top(most, about):
    values = ticks(most, about)
    assert values[0] == 0
    assert values[-1] >= most * (1 - 1e-6)
    assert 2 <= len(values) <= about + 2


def empty() -> Story:
    return Story(partitions=4, budget=0.0, load=45.0, sessions=8, where="here")


@pytest.mark.parametrize("make", [story, empty])
def test_the_picture_is_svg_and_fetches_nothing(make):
    root = ET.fromstring(svg(make()))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    for element in root.iter():
        assert not {name for name in element.attrib if "href" in name or name == "src"}


class Tags(HTMLParser):
    """Notes what is opened and closed, and refuses what is not in order."""

    void = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.links += [f"{tag} {name}={value}" for name, value in attrs if name in {"src", "href"}]
        if tag in {"script", "iframe", "link", "img", "object"}:
            self.links.append(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("make", [story, empty])
def test_the_page_is_html_and_fetches_nothing(make):
    """It is opened from a disk, maybe years later, by who has no network."""
    tags = Tags()
    tags.feed(page(make()))
    assert (tags.open, tags.links) == ([], [])
    assert not re.search(r"url\(|@import", page(make()))


def test_the_page_shows_what_was_counted():
    tags = Tags()
    told = story()
    told.broken = ["a <message> was lost"]
    tags.feed(page(told))
    for word in (
        "1,200",
        "add fanout.2",
        "0.20 s",
        "14,987",
        "your <own>",
        "<some> & machine",
        "a <message> was lost",
    ):
        assert word in tags.text, word


def text_of(what) -> str:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(what)
    return console.file.getvalue()


def test_the_page_in_a_terminal_of_80_columns():
    told = story()
    for until in range(len(told.moments) + 1):
        told.moments = story().moments[:until]
        lines = text_of(render(told)).splitlines()
        assert max(map(len, lines)) <= 80
        assert "…" not in "".join(lines)
    assert "idle" in text_of(render(story()))


def test_a_page_has_the_rows_of_its_terminal():
    """What does not fit is cut off at the bottom, where the groups are."""
    told = story()
    told.partitions, told.steps[-1].why = 4, "x " * 70
    told.moments = [
        Moment(
            at,
            ("fanout.1",) * 4,
            (900,) * 4,
            tuple(Worker(f"fanout.{n}", (), 0.0) for n in range(5)),
            45.0,
            9,
            9,
        )
        for at in range(200)
    ]
    told.readers.append(Reader("archiver", 1, 2, "y"))
    for rows in (24, 30, 50):
        lines = text_of(render(told, rows)).splitlines()
        assert len(lines) <= rows, rows


def test_the_end_in_a_terminal_of_80_columns():
    told = story()
    told.broken = ["something"]
    said = text_of(summary(told))
    assert max(map(len, said.splitlines())) <= 80
    assert "lost 0, doubled 0, reordered 0" in said
    assert "broken: something" in said
    assert "…" not in said


def test_lines_without_a_terminal():
    console = Console(width=80, file=io.StringIO())
    with Lines(console) as lines:
        lines.say("[a step]")
        lines.draw(story())
    assert console.file.getvalue().splitlines() == [
        "[a step]",
        "      5 s  lag     0    45 messages/s  owners 0: fanout.1, 1: fanout.2",
    ]


def test_json():
    said = result(story())
    assert {name: said[name] for name in ("accepted", "delivered", "lost", "doubled", "reordered")} == {
        "accepted": 150,
        "delivered": 1200,
        "lost": 0,
        "doubled": 0,
        "reordered": 0,
    }
    assert said["steps"][1] == {
        "step": "add fanout.2",
        "members": 2,
        "lag_before": 40,
        "lag_after": 10,
        "rate": 60.0,
        "gap_s": 0.2,
    }
    assert said["groups"]["analytics"] == {"read": 14987, "of": 15018}


def test_pictures_as_files(tmp_path):
    assert plot.can_draw(tmp_path / "a.svg") == ""
    plot.draw(story(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == svg(story())


def test_a_png_where_matplotlib_is_missing(tmp_path, monkeypatch):
    """It is a requirement of development only; who has installed Fanfare alone is told what to do."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "matplotlib, which is not installed" in plot.can_draw(tmp_path / "a.png")


def test_a_png(tmp_path):
    plot.draw(story(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
