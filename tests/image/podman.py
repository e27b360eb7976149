"""Podman for tests: images and containers in a folder of their own, that ask no registry."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = "localhost/fanfare-base"
IMAGE = "localhost/fanfare"
_NEEDED = ("podman", "buildah", "runc", "debootstrap")


def missing() -> list[str]:
    """The programs that are not here, of those that are needed."""
    return [name for name in _NEEDED if shutil.which(name) is None] + ([] if os.geteuid() == 0 else ["root"])


@dataclass
class Podman:
    """One store of images."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n[network]\nnetwork_backend = "netavark"\n'
        )
        # runroot holds sockets, whose paths are short.
        self.run_root = tempfile.mkdtemp(prefix="pod", dir="/tmp")
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/graph"\nrunroot = "{self.run_root}"\n'
        )

    def __call__(
        self, *words: str, check: bool = True, timeout: int = 400
    ) -> subprocess.CompletedProcess[str]:
        """Run `podman WORDS`."""
        environment = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        done = subprocess.run(
            ["podman", *words], env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or done.returncode == 0, (
            f"podman {words[:3]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done

    def make_base(self) -> None:
        """The base image, from the distribution's packages."""
        tree = self.folder / "base"
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", str(tree)],
            check=True,
            capture_output=True,
            timeout=400,
        )
        archive = self.folder / "base.tar"
        subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True, timeout=200)
        shutil.rmtree(tree)
        self("import", str(archive), BASE)
        archive.unlink()

    def problem(self) -> str:
        """Why this machine can run no container at all, whatever is in it; '' if it can."""
        try:
            self.make_base()
        except (subprocess.SubprocessError, OSError) as error:
            return f"no base image can be made of the distribution's packages: {error!r}"
        done = self("run", "--rm", "--pull=never", "--network=none", BASE, "/bin/true", check=False)
        return "" if done.returncode == 0 else f"podman cannot run a container: {done.stderr[-500:]}"

    def build(self) -> None:
        """Our image; the requirements are fetched outside of it, by whatever this machine is set up with."""
        wheels = self.folder / "wheels"
        for name in ("build", "image"):
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--require-hashes",
                    "--only-binary",
                    ":all:",
                    "--dest",
                    str(wheels),
                    "-r",
                    f"requirements/{name}.txt",
                ],
                cwd=ROOT,
                check=True,
                timeout=300,
            )
        self(
            "build", "--pull=never", "--network=none", f"--volume={wheels}:/wheels:ro", f"--build-arg=BASE={BASE}",
            "--build-arg=PIP_OPTIONS=--no-index --find-links=/wheels", "-t", IMAGE, "-f", "deploy/Dockerfile",
            str(ROOT),
        )  # fmt: skip

    def close(self) -> None:
        """Remove all of it."""
        self("rm", "--all", "--force", "--time=2", check=False)
        self("system", "reset", "--force", check=False)
        shutil.rmtree(self.run_root, ignore_errors=True)
