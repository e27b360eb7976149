"""What holds a consumer up: it is counted, logged once and then ever more rarely, and shown by /readyz."""

import time
from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from fanfare.diagnosis import trouble_of
from fanfare.telemetry import metrics
from fanfare.telemetry.logs import Action
from fanfare.trouble import ONE_RECORD, Trouble

__all__ = ["Holds"]

# Trouble that passes in less than this, such as a change of leader, is not logged.
_GRACE_S: Final = 1.0
# Said again after this, then after twice as long, and so on.
_AGAIN_S: Final = 10.0
_RAREST_S: Final = 600.0


class _Hold:
    """One thing that does not get on."""

    __slots__ = ("detail", "reason", "since")

    def __init__(self, reason: Trouble, detail: str, since: float) -> None:
        self.reason = reason
        self.detail = detail
        self.since = since


class Holds:
    """The holds of one consumer."""

    def __init__(
        self, group: str, log: FilteringBoundLogger, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: group: its name, for metrics. log: where to say it. now: seconds, never going back."""
        self._log = log
        self._now = now
        self._held: dict[str, _Hold] = {}
        self._due: dict[str, tuple[float, float]] = {}
        """Per kind of hold when it is said next, and the wait after that."""
        self._gauges = {reason: metrics.HELD.labels(group, reason) for reason in Trouble}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, what: object) -> bool:
        return what in self._held

    def hold(self, what: str, error: BaseException, advice: str = "") -> None:
        """Note that something is held up, at each try that failed.

        Args:
            what: what is held, such as a partition.
            error: why.
            advice: where one record may be the cause, what can be done about it.

        """
        reason, now = trouble_of(error), self._now()
        before = self._held.get(what)
        since = before.since if before is not None else now
        self._held[what] = _Hold(reason, _said(error, reason), since)
        self._count()
        if reason is not Trouble.AWAY or now - since >= _GRACE_S:
            self._say(what, error, advice, now)

    def release(self, what: str) -> None:
        """Note that it gets on."""
        if self._held.pop(what, None) is None:
            return
        self._count()
        if not self._held:
            if self._due:
                self._log.info("going on", action=Action.RESUME_WORK)
            self._due.clear()

    def problem(self) -> str:
        """What is held, and why, in a line; '' where nothing is held for longer than a moment."""
        now = self._now()
        said = [
            f"{what} is held ({hold.reason}): {hold.detail}"
            for what, hold in self._held.items()
            if hold.reason is not Trouble.AWAY or now - hold.since >= _GRACE_S
        ]
        return f"{said[0]}; {len(said) - 1} more" if len(said) > 1 else "".join(said)

    def _count(self) -> None:
        counts = dict.fromkeys(Trouble, 0)
        for hold in self._held.values():
            counts[hold.reason] += 1
        for reason, gauge in self._gauges.items():
            gauge.set(counts[reason])

    def _say(self, what: str, error: BaseException, advice: str, now: float) -> None:
        hold = self._held[what]
        # A store is in trouble for all partitions at once, and a record for one.
        kind = f"{hold.reason} {what}" if hold.reason in ONE_RECORD else hold.reason
        due, wait_s = self._due.get(kind, (now, _AGAIN_S))
        if now < due:
            return
        self._due[kind] = (now + wait_s, min(2 * wait_s, _RAREST_S))
        self._log.error(
            f"held, and goes on by itself when this is mended{f'; {advice}' if advice else ''}",
            action=Action.HOLD,
            what=what,
            held=len(self._held),
            reason=str(hold.reason),
            error=hold.detail,
            where=_where(error) if hold.reason is Trouble.CODE else "",
            for_s=round(now - hold.since),
        )


def _said(error: BaseException, reason: Trouble) -> str:
    """The error, for people; of one of our own code not its text, which may quote what somebody wrote."""
    name = type(error).__name__
    if reason is Trouble.CODE:
        return name
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - some errors of libraries cannot always say what they are
        return name


def _where(error: BaseException) -> str:
    """File and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
