"""`fanfare demo`, from start to end: each brings up a system of its own, and leaves nothing behind."""

import asyncio
import json
import os
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demo.plan import LOAD, PARTITIONS

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")


async def demo(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run `fanfare demo WORDS`: exit status, stdout, stderr. Its temporary files go into the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fanfare.cli", "demo", *words),
        cwd=folder,
        env=environment | {"TMPDIR": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


class Text(HTMLParser):
    """What a page says, without its style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said = ""
        self.feed(html)

    def handle_data(self, data):
        self.said += data


@pytest.mark.long
async def test_consumers_come_and_the_lag_falls(tmp_path):
    """Somebody watches this to learn what a group does: so it has to do that, and to have lost nothing meanwhile."""
    pages = ("--html", "page.html", "--plot", "picture.svg")
    status, out, error = await demo(tmp_path, "scale", "--seconds", "20", "--json", *pages)
    assert status == 0, out + error
    said = json.loads(out.splitlines()[-1])
    assert {said[name] for name in ("lost", "doubled", "reordered")} == {0}
    assert said["broken"] == []
    assert said["delivered"] >= 8 * said["accepted"] > 0
    # One producer, three groups, and each has read everything.
    assert set(said["groups"]) == {"fanout", "archiver", "analytics"}
    assert {(group["read"], group["of"]) for group in said["groups"].values()} == {
        (said["groups"]["fanout"]["of"],) * 2
    }
    steps = {step["step"]: step for step in said["steps"]}
    assert [step["members"] for step in said["steps"]] == [
        *range(1, PARTITIONS + 2),
        PARTITIONS - 1,
        PARTITIONS - 1,
    ]
    assert steps["fanout.1 alone"]["lag_after"] > LOAD
    for number in range(2, PARTITIONS + 1):
        step = steps[f"add fanout.{number}"]
        # Who is behind by less than a second's messages keeps up: offsets are committed once a second.
        assert step["lag_after"] < step["lag_before"] or step["lag_after"] <= LOAD, step
    assert "fanout.5 is idle" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "picture.svg"]
    html = (tmp_path / "page.html").read_text()
    assert f"{said['accepted']:,}" in Text(html).said
    assert (tmp_path / "picture.svg").read_text() in html
    await opened(tmp_path / "page.html", f"{said['delivered']:,}")


async def opened(page: Path, word: str) -> None:
    """Open a page in a browser without a network, and look for a word in what it has made of it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("NOT OPENED IN A BROWSER: there is none of " + ", ".join(BROWSERS))
    process = await asyncio.create_subprocess_exec(
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9"),
        *(f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", page.as_uri()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    dom = out.decode()
    assert word in Text(dom).said
    # Had the SVG been broken, the parser had thrown it out of the card.
    assert dom.count("<svg") == dom.count("</svg>") == 1
    assert dom.index("<svg") < dom.index("partition 3") < dom.index("</svg>")


@pytest.mark.long
async def test_the_tour_through_kafka(tmp_path):
    """Every command of it has run, as it is printed, and each record that was written was read."""
    status, out, error = await demo(tmp_path, "kafka", "--yes")
    assert status == 0, out + error
    commands = [line.split("$ ", 1)[1] for line in out.splitlines() if line.startswith("   $ ")]
    assert len(commands) >= 15
    assert all(command.startswith(("fanfare kafka ", "kill -9 ")) for command in commands), commands
    for words in (
        "Created topic notes",
        "PartitionCount: 3",
        "terminal 1  Partition",
        "terminal 2  Partition",
        "LAG",
    ):
        assert words in out, words
    assert "Written 18, read 18: nothing is lost." in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plot", "picture.gif"), "ends in neither of .svg and .png"),
        (("--html", "nowhere/page.html"), "there is no folder nowhere"),
        (("--seconds", "1"), "greater than or equal to 5"),
    ],
)
async def test_what_cannot_be_is_said_before_anything_is_started(tmp_path, words, said):
    status, out, error = await demo(tmp_path, "scale", *words)
    assert status != 0
    assert said in " ".join((out + error).replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []
