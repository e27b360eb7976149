"""The part of `make setup` that is ours: Kafka's jars, checked, and a cache that makes Kafka start quicker.

python -m fanfare.embedded.setup
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from fanfare.embedded import aot
from fanfare.embedded.child import Spec
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder
from fanfare.embedded.jars import default_folder, fetch, verify
from fanfare.embedded.kafka import prepare_kafka
from fanfare.embedded.output import Output
from fanfare.embedded.supervisor import Supervisor

__all__ = ["main"]

READY_S = 120.0
# Writing the cache when the broker stops takes 5 s on an idle machine.
RECORD_S = 120.0


def _say(line: str) -> None:
    print(line, flush=True)


async def _train(options: list[str]) -> None:
    """Run a broker of its own to the point where it serves, and stop it."""
    _say("Recording how Kafka starts, so that it starts quicker")
    with tempfile.TemporaryDirectory(prefix="fanfare-") as scratch:
        folder = DataFolder(Path(scratch))
        folder.make()
        _, (spec,) = await prepare_kafka(folder, 1, 0, options)
        patient = Spec(**{**vars(spec), "stop_s": RECORD_S})
        supervisor = Supervisor(Output(children=False), lambda: None)
        try:
            await supervisor.start_ready([patient], READY_S)
        finally:
            await supervisor.stop()


def main() -> int:
    """Fetch, verify, record. Only the first two have to succeed."""
    folder = default_folder()
    try:
        fetch(folder, say=_say)
        asyncio.run(aot.record(verify(folder), _train))
    except UpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        _say(f"not recorded ({error}): Kafka works all the same, it only starts slower")
    return 0


if __name__ == "__main__":
    sys.exit(main())
