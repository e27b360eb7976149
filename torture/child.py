"""`python -m torture.child ROLE`: runs a service as the Procfile would, with what a fault needs changed.

The file named by TORTURE_FILE says what, by the name of the process:

    {"gateway.1": {"env": {"FANFARE_REDIS": "..."}, "kafka_ports": {"9092": 9192}}}

`kafka_ports` sends every connection to a broker through another port: brokers tell clients their own addresses, so
that an address in the settings alone would not do. `clock_offset_s` is how far off its time of day is. The service
itself is as it is.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from fanfare import clock

__all__ = ["FILE", "apply"]

FILE = "TORTURE_FILE"


def apply(changes: dict[str, Any]) -> None:
    """Make the changes in this process."""
    os.environ.update(changes.get("env", {}))
    clock.set_offset(changes.get("clock_offset_s", 0.0))
    if ports := {int(port): int(other) for port, other in changes.get("kafka_ports", {}).items()}:
        _redirect(ports)


def _redirect(ports: dict[int, int]) -> None:
    from aiokafka import conn  # noqa: PLC0415 - only where it is needed

    original = conn.AIOKafkaConnection.__init__

    def redirected(self: Any, host: str, port: int, **options: Any) -> None:
        original(self, host, ports.get(port, port), **options)

    conn.AIOKafkaConnection.__init__ = redirected


def main(role: str) -> None:
    """Change what is to be changed and run the service."""
    path = os.environ.get(FILE)
    everything = json.loads(Path(path).read_text("utf-8")) if path and Path(path).exists() else {}
    changes = everything.get(os.environ.get("FANFARE_PROCESS", ""), {})
    apply(changes)
    sys.argv = [role]
    runpy.run_module(role, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
