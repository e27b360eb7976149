"""Logs hold no secrets."""

import json
import logging
from typing import Any

import pytest
import structlog

from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action


@pytest.fixture(autouse=True)
def _own_logging() -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_a_line_says_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("fanout.2", "info", "json")
    logs.get("fanout").info("ready", action=Action.READY, partitions=3)
    logs.get("fanout").debug("nothing")
    (line,) = lines(capsys)
    assert (line["event"], line["action"], line["process"], line["partitions"]) == (
        "ready",
        "ready",
        "fanout.2",
        3,
    )


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_hidden(style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("x", "info", style)
    token = "MTIzNDU2Nzg5MDEyMzQ1Njc4.AbCdEf.abcdefghijklmnopqrstuvwxyz0123456789"
    log = logs.get("x")
    log.info(
        "in", action=Action.IDENTIFY, token="tokenvalue", content="what somebody wrote", password="hunter2"
    )
    said = f"used {token}"
    log.info(said, action=Action.IDENTIFY, url="redis://user:hunter2@host:1/0")
    logging.getLogger("aiohttp").error("header: Authorization: Bearer %s", "sekrit-sekrit")
    out = capsys.readouterr().err
    for secret in ("tokenvalue", "somebody", "hunter2", token, "sekrit"):
        assert secret not in out
    assert "host:1/0" in out


def test_libraries_do_not_repeat_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("x", "info", "json")
    for attempt in range(20):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s", attempt)
    for attempt in range(3):
        logs.get("x").info("mine", action=Action.RETRY, attempt=attempt)
    found = lines(capsys)
    assert [line["action"] for line in found] == ["library", "retry", "retry", "retry"]
