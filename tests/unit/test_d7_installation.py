"""D7: whose stores they are is decided by the ids that they hold."""

import pytest

from fanfare.checks.installation import UNKNOWN, Marks, decide, fingerprints, secret_problem

A, B = "a" * 12, "b" * 12


@pytest.mark.parametrize(
    ("kafka", "redis", "postgres", "make", "mark_redis"),
    [
        (None, None, None, True, True),  # new, or an upgrade from a version without ids
        (A, A, A, False, False),
        (A, None, A, False, True),  # Redis was emptied
        (A, A, UNKNOWN, False, False),  # a process without PostgreSQL
        (A, None, UNKNOWN, False, True),
        (None, None, UNKNOWN, False, False),  # before anybody saw Kafka and PostgreSQL together
        (UNKNOWN, A, A, False, False),  # its topic is not there yet
        (UNKNOWN, UNKNOWN, UNKNOWN, False, False),
    ],
)
def test_d7_stores_that_belong_together(kafka, redis, postgres, make, mark_redis):
    decision = decide(Marks(kafka, redis, postgres))
    assert (decision.problem, decision.make, decision.mark_redis) == ("", make, mark_redis)


@pytest.mark.parametrize(
    ("kafka", "redis", "postgres", "names"),
    [
        (A, A, None, "Kafka belongs to installation"),  # a second one with a database of its own
        (A, None, None, "Kafka belongs to installation"),  # that shares only Kafka
        (None, A, None, "Redis belongs to installation"),  # only Redis
        (None, None, A, "PostgreSQL belongs to installation"),  # only PostgreSQL, or a copy of it
        (A, B, A, "Redis belongs to installation"),
        (A, B, UNKNOWN, "Redis belongs to installation"),
        (A, A, B, "PostgreSQL belongs to installation"),
        (B, A, A, "Kafka belongs to installation"),
    ],
)
def test_d7_stores_of_two_installations_are_refused_by_name(kafka, redis, postgres, names):
    decision = decide(Marks(kafka, redis, postgres))
    assert names in decision.problem
    assert "FANFARE_PREFIX" in decision.problem
    assert "fanfare claim" in decision.problem
    assert not decision.make
    assert not decision.mark_redis


def test_d7_another_secret_on_the_same_stores_is_refused():
    (ours,) = fingerprints("our secret")
    assert secret_problem(ours, fingerprints("our secret"), A) == ""
    assert "FANFARE_SECRET" in secret_problem(ours, fingerprints("another"), A)


def test_d7_a_secret_that_is_being_changed_is_known_by_each_of_the_list():
    (old,) = fingerprints("old")
    assert secret_problem(old, fingerprints("new,old"), A) == ""
    assert fingerprints("new, old") == [*fingerprints("new"), old]


def test_d7_a_process_without_a_secret_is_not_asked_for_one():
    assert secret_problem(fingerprints("x")[0], fingerprints(""), A) == ""
    assert secret_problem("", fingerprints("x"), A) == ""
