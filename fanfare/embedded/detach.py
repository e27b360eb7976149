"""`fanfare up --detach`: starts the supervisor in the background and waits until it says that all is ready."""

import contextlib
import json
import os
import signal
import subprocess
import sys

from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder

__all__ = ["start_detached"]


def start_detached(folder: DataFolder, options: list[str]) -> int:
    """Start `fanfare up` in a session of its own, with its output in up.log; returns once it is ready.

    Ctrl-C or SIGTERM meanwhile stop it. Answers the exit status.

    Raises:
        UpError: the start failed; the reason is the supervisor's own.

    """
    pid = folder.holder()
    if pid is not None:
        raise UpError(
            f"fanfare is already running in this folder (pid {pid}): "
            "see `fanfare status`, or stop it with `fanfare down`"
        )
    log = folder.logs / "up.log"
    read_end, write_end = os.pipe()
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "fanfare.cli", "up", "--ready-fd", str(write_end), *options],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    os.close(write_end)
    print(f"starting in the background (pid {process.pid}), log in {log}", flush=True)

    def stop(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with os.fdopen(read_end, encoding="utf-8") as answers:
            line = answers.readline()
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.wait()
        return 1
    answer: dict[str, str] = json.loads(line) if line else {}
    if "ready" in answer:
        print(answer["ready"], flush=True)
        return 0
    process.wait()
    raise UpError(answer.get("error") or f"it ended at once (status {process.returncode}): see {log}")
