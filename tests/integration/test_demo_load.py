"""`fanfare demo load`: people who talk on a system that runs, and leave nothing behind but themselves."""

import json

import asyncpg
import pytest

from demo.load import Loaded, loaded
from tests.integration.test_scale import fanfare
from tests.stack import Stack
from torture.history import Attempt, History, Outcome, SessionLog

pytestmark = pytest.mark.system


async def test_people_talk_and_their_guild_is_gone(stack: Stack):
    status, said = await fanfare(stack, "demo", "load", "--rate", "40", "--seconds", "2", "--json")
    assert status == 0, said
    found = json.loads(said.splitlines()[-1])
    assert found["accepted"] > 20
    assert (found["missing"], found["doubled"]) == (0, 0)
    connection = await asyncpg.connect(stack.run["postgres"])
    try:
        assert await connection.fetchval("SELECT count(*) FROM guilds WHERE name = 'Demo load'") == 0
    finally:
        await connection.close()


def test_what_is_missing_or_doubled_is_counted():
    history = History()
    for number, outcome in enumerate((Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.ACCEPTED)):
        history.attempt(Attempt(f"n{number}", 1, 2, "REST", 0.0, 0.1, outcome, id=number + 10))
    history.attempt(Attempt("n1", 1, 2, "REST", 0.0, 0.1, Outcome.ACCEPTED, id=11))
    history.sessions = {
        "whole": SessionLog("whole", 1, ids=[10, 11, 12]),
        "lacks": SessionLog("lacks", 1, ids=[10, 12, 12]),
    }
    assert loaded(history) == Loaded(accepted=3, not_accepted=0, missing=1, doubled=1)
