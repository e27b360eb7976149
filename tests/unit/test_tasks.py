"""Ending tasks for certain."""

import asyncio
import contextlib

import pytest

from fanfare import tasks
from fanfare.tasks import Gathered, Shared, end, together, uninterrupted


async def test_a_task_that_swallows_its_cancellation_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(tasks, "_AGAIN_S", 0)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
    assert swallowed == 3


async def test_what_is_done_is_left_alone():
    async def broken() -> None:
        raise ValueError

    task = asyncio.create_task(broken())
    await asyncio.wait((task,))
    await end([task])
    assert isinstance(task.exception(), ValueError)


async def test_a_step_is_finished_before_the_cancellation_counts():
    begun, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def step() -> None:
        begun.set()
        await go_on.wait()
        finished.set()

    task = asyncio.create_task(uninterrupted(step(), 60))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished.is_set()


async def test_a_step_that_takes_too_long_is_cancelled():
    async def step() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(uninterrupted(step(), 0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_answers_and_errors_come_through():
    async def answer() -> int:
        return 3

    async def broken() -> None:
        raise ValueError

    assert await uninterrupted(answer(), 1) == 3
    with pytest.raises(ValueError):  # noqa: PT011 - our own
        await uninterrupted(broken(), 1)


class Asked:
    """A question whose answers the test gives; each names the place of its question."""

    def __init__(self):
        self.sent = []

    async def __call__(self, key):
        answer = asyncio.get_running_loop().create_future()
        self.sent.append((key, answer))
        return await answer


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_asks_before_the_question_is_sent_shares_the_answer():
    asked = Asked()
    shared = Shared(asked)
    waiting = [asyncio.create_task(shared.of("a")) for _ in range(3)]
    await turns()
    assert [key for key, _ in asked.sent] == ["a"]
    asked.sent[0][1].set_result(1)
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_who_asks_later_waits_for_the_next_question():
    asked = Asked()
    shared = Shared(asked)
    first = asyncio.create_task(shared.of("a"))
    await turns()
    later = [asyncio.create_task(shared.of("a")) for _ in range(3)]
    other = asyncio.create_task(shared.of("b"))
    await turns()
    assert [key for key, _ in asked.sent] == ["a", "b"]
    asked.sent[0][1].set_result("old")
    asked.sent[1][1].set_result("of b")
    assert [await first, await other] == ["old", "of b"]
    await turns()
    asked.sent[2][1].set_result("new")
    assert await asyncio.gather(*later) == ["new"] * 3
    assert len(asked.sent) == 3


async def test_an_answer_that_fails_does_so_for_all_who_share_it_and_not_for_the_next():
    asked = Asked()
    shared = Shared(asked)
    waiting = [asyncio.create_task(shared.of("a")) for _ in range(2)]
    await turns()
    waiting[0].cancel()
    asked.sent[0][1].set_exception(OSError("away"))
    with pytest.raises(OSError, match="away"):
        await waiting[1]
    again = asyncio.create_task(shared.of("a"))
    await turns()
    asked.sent[1][1].set_result(2)
    assert await again == 2


async def test_questions_that_come_meanwhile_share_the_next_request():
    asked: list[list[int]] = []
    go_on = asyncio.Event()

    async def ask(questions):
        asked.append(questions)
        await go_on.wait()
        return [ValueError(one) if one == 3 else one * 10 for one in questions]

    gathered = Gathered(ask, 3)
    first = asyncio.create_task(gathered.of(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(gathered.of(number)) for number in range(1, 6)]
    await asyncio.sleep(0)
    others[1].cancel()
    go_on.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert asked == [[0], [1, 3], [4, 5]]
    assert [answers[at] for at in (0, 1, 4, 5)] == [0, 10, 40, 50]
    assert isinstance(answers[3], ValueError)


async def test_a_request_that_fails_fails_for_all_in_it_and_for_no_other():
    failures = iter([ConnectionError("away")])

    async def ask(questions):
        for failure in failures:
            raise failure
        return questions

    gathered = Gathered(ask, 2)
    answers = await asyncio.gather(*(gathered.of(number) for number in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError, int]


async def test_who_still_waits_at_the_end_is_cancelled():
    gathered = Gathered(lambda _: asyncio.Event().wait(), 1)
    waiting = [asyncio.create_task(gathered.of(number)) for number in range(3)]
    await asyncio.sleep(0)
    await gathered.close()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 3


class Stubborn:
    """A work whose first cancellations get lost."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.ended = False

    async def run(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.lost -= 1
                if self.lost < 0:
                    self.ended = True
                    raise


async def test_works_end_together_though_cancellations_get_lost():
    one, other = Stubborn(2), Stubborn(0)
    task = asyncio.create_task(together(one.run(), other.run()))
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
    assert one.ended
    assert other.ended


async def test_what_ends_one_of_the_works_is_raised_when_all_have_ended():
    other = Stubborn(1)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        await together(other.run(), fail())
    assert other.ended


async def test_who_is_cancelled_while_the_others_end_is_cancelled():
    other = Stubborn(1)

    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(together(other.run(), fail()))
    while other.lost == 1:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert other.ended


async def test_a_work_that_somebody_else_cancels_is_an_error():
    async def gone() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled"):
        await together(Stubborn(0).run(), gone())
