"""The checker is able to fail: with a rule of delivery broken in a running system, it finds which promise breaks."""

from pathlib import Path

import pytest

from torture.planted import BUGS
from torture.program import Choice, run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]

# What shows each bug, and as what.
SHOWN = {
    "no-position-check": ("kill-notifier", {"doubled"}),
    "commit-first": ("kill-notifier", {"lost"}),
    "cached-presence": ("kill-gateway", {"lost"}),
    "resume-from-now": ("mass-reconnect", {"lost"}),
}


def test_every_bug_is_tried() -> None:
    assert set(SHOWN) == set(BUGS)


@pytest.mark.parametrize("bug", SHOWN)
async def test_a_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    fault, kinds = SHOWN[bug]
    said: list[str] = []
    choice = Choice(
        fault=fault,
        seed=1,
        rate=40,
        receivers=40,
        # Nobody waits for what clients cannot agree on with a bug in the system.
        changes=0,
        # Nor for what the bug has lost.
        settle_s=10,
        brokers=1,
        scale="gateway=2,fanout=1,notifier=2,archiver=1",
        folder=tmp_path,
        plant=(bug, BUGS[bug][0]),
        again=3,
    )
    rows = await run(choice, said.append)
    found = {violation.kind for row in rows for violation in row.verdict.violations}
    assert found & kinds, "\n".join(said)
