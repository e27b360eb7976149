"""A real stack for tests: `fanfare up --detach` in a folder of its own, on free ports."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
# First starts format Kafka's and PostgreSQL's folders; a busy machine takes its time.
COMMAND_TIMEOUT_S = 240

FREE_PORTS = {
    f"FANFARE_{name}_PORT": "0" for name in ("REST", "GATEWAY", "INTERNAL", "KAFKA", "REDIS", "POSTGRES")
}


def clean_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Our environment without the developer's FANFARE_*, with free ports and a data folder in `folder`.

    `settings` are named without the prefix: drain_s="1".
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
    return (
        environment
        | FREE_PORTS
        | {"FANFARE_HOME": str(folder / ".fanfare")}
        | {f"FANFARE_{name.upper()}": value for name, value in settings.items()}
    )


@dataclass
class Stack:
    """A stack in `folder`. `start` may be called again after `stop`, on the same data."""

    folder: Path
    options: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.folder / ".fanfare"

    @property
    def environment(self) -> dict[str, str]:
        """For commands that are to work on this stack."""
        return clean_environment(self.folder, **self.settings)

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `fanfare ARGUMENTS` in the folder."""
        done = subprocess.run(
            [sys.executable, "-m", "fanfare.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"fanfare {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n"
                + self.logs()
            )
        return done

    def start(self) -> dict[str, Any]:
        """Start it and wait until it is ready; answers run.json."""
        self.command("up", "--detach", *self.options)
        return self.run

    def stop(self) -> None:
        """Stop it; nothing happens if it does not run."""
        self.command("down")

    @property
    def run(self) -> dict[str, Any]:
        """run.json."""
        run: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return run

    def status(self) -> dict[str, Any]:
        """What `fanfare status --json` says."""
        status: dict[str, Any] = json.loads(self.command("status", "--json", check=False).stdout)
        return status

    def process(self, name: str) -> dict[str, Any]:
        """The entry of one process, such as `gateway.1`, in the status."""
        return next(entry for entry in self.status()["processes"] if entry["name"] == name)

    def store_settings(self) -> dict[str, str]:
        """The variables that let code in this process, or one it starts, reach the stores of this stack."""
        run = self.run
        return {f"FANFARE_{name.upper()}": run[name] for name in ("kafka", "redis", "postgres")} | {
            "FANFARE_SECRET": (self.home / "secret").read_text().strip()
        }

    def logs(self, lines: int = 15) -> str:
        """The last lines of every log, for a failing test."""
        texts = []
        for path in sorted((self.home / "logs").glob("*.log")):
            last = path.read_text(errors="replace").splitlines()[-lines:]
            texts.append(f"--- {path.name}\n" + "\n".join(last))
        return "\n".join(texts)
