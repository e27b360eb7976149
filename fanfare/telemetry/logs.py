"""Structured logs: text for people, an `action` and fields for machines; no token, nothing somebody wrote.

A line is `log.info("what happened", action=Action.X, field=...)`. Everything goes to standard error, also
what the libraries say through the standard library's logging.
"""

import logging
import re
import sys
from enum import StrEnum
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger
from typing_extensions import override

__all__ = ["Action", "configure", "get"]


class Action(StrEnum):
    """What a line is about. One word per kind of event, so that lines can be counted and searched."""

    START = "start"
    READY = "ready"
    DRAIN = "drain"
    STOP = "stop"
    FAIL = "fail"
    # Workers and Kafka.
    ASSIGN = "assign"
    REVOKE = "revoke"
    HOLD = "hold"
    RESUME_WORK = "resume_work"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"
    COMMIT_FAILED = "commit_failed"
    SKIP = "skip"
    DROP = "drop"
    KAFKA_AWAY = "kafka_away"
    KAFKA_BACK = "kafka_back"
    # Redis and presence.
    EPOCH = "epoch"
    APPEND = "append"
    INBOX_GONE = "inbox_gone"
    INBOX_LOST = "inbox_lost"
    REDIS_AWAY = "redis_away"
    FILES_AWAY = "files_away"
    REDIS_BACK = "redis_back"
    LEASE = "lease"
    CLOCK = "clock"
    # Sessions.
    IDENTIFY = "identify"
    RESUME = "resume"
    CUT = "cut"
    # Accepting and storing.
    REQUEST = "request"
    REQUEST_FAILED = "request_failed"
    DATABASE_AWAY = "database_away"
    RELAY = "relay"
    PARTITIONS = "partitions"
    SINK = "sink"
    TOKENS = "tokens"
    RELOAD = "reload"
    # A line of a library.
    LIBRARY = "library"


# Fields whose values are secrets or belong to users; the value never reaches an output.
_HIDDEN_FIELDS: Final = frozenset(
    ["token", "authorization", "password", "secret", "content", "payload", "value", "body", "cookie"]
)
_URL_PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^@\s/]+@")
_REPEAT_S: Final = 30.0
# Our own tokens, and what follows the word Bot or Bearer.
_TOKEN: Final = re.compile(r"[\w-]{12,}\.[\w-]{4,}\.[\w-]{20,}|(?<=Bearer )\S+|(?<=Bot )\S{20,}")


def _scrub(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hide secrets: fields by their name, passwords in URLs and tokens wherever they stand."""
    for name, value in event.items():
        if name in _HIDDEN_FIELDS:
            event[name] = "[hidden]"
        elif isinstance(value, str):
            event[name] = _TOKEN.sub("[hidden]", _URL_PASSWORD.sub(r"\1[hidden]@", value))
    return event


def _library(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mark a line of a library."""
    event.setdefault("action", Action.LIBRARY)
    return event


class _Repeats(logging.Filter):
    """Lets what a library says again and again through once in 30 s: during an outage aiokafka does."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[object, float] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("fanfare"):
            return True
        key = (record.name, record.lineno)
        if record.created - self._last.get(key, 0.0) < _REPEAT_S:
            return False
        self._last[key] = record.created
        return True


def configure(
    process: str, level: Literal["debug", "info", "warning", "error"], style: Literal["console", "json"]
) -> None:
    """Set up this process's logs.

    Args:
        process: name of the process; stands in every line.
        level: the least level that is written; libraries are heard from `warning` on.
        style: `console` for people, `json` for machines: one object a line.

    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor]
    if style == "json":
        last = [structlog.processors.format_exc_info, _scrub, structlog.processors.JSONRenderer()]
    else:
        # Plain text: its locals could hold message content.
        last = [
            structlog.processors.format_exc_info,
            _scrub,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(_Repeats())
    # A rebalance is no failure; we log them ourselves.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.getLogger("fanfare").setLevel(number)
    structlog.contextvars.bind_contextvars(process=process)


def get(name: str) -> FilteringBoundLogger:
    """The logger of one part, such as `fanout`."""
    logger: FilteringBoundLogger = structlog.get_logger(f"fanfare.{name}", part=name)
    return logger
