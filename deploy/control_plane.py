"""A real Kubernetes control plane on this machine, built from its Go modules, without nodes of its own.

etcd, API server, controllers and scheduler are the real ones; kwok plays nodes and kubelets, so pods become ready
without an image being run. The modules are pinned by go.sum. Nothing but loopback is listened on.
"""

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.kubernetes import kubectl
from fanfare.embedded.child import launch_command
from fanfare.embedded.ports import free_port

__all__ = ["ControlPlane", "ControlPlaneError", "build"]

_MODULE: Final = Path(__file__).with_name("control_plane_module")
_VERSION: Final = "v1.36.3"
_PROGRAMS: Final = ("kube", "kwok")
_STAGES: Final = ("node/fast", "node/heartbeat", "pod/fast", "volume/fast")
_READY_S: Final = 90.0
_STOP_S: Final = 15.0


class ControlPlaneError(Exception):
    """It cannot be built, does not start, or refuses something; the message says why."""


def build() -> Path:
    """The folder with the programs, built at first use, which takes ten minutes and more.

    Raises:
        ControlPlaneError: there is no Go, or a module cannot be had.

    """
    folder = Path(sys.executable).with_name("control-plane")
    if all((folder / name).exists() for name in _PROGRAMS):
        return folder
    if shutil.which("go") is None:
        raise ControlPlaneError("this machine has no Go to build a control plane with")
    part = folder.with_suffix(".part")
    versions = {
        "k8s.io/component-base/version.gitVersion": _VERSION,
        "k8s.io/component-base/version.gitMajor": "1",
        "k8s.io/component-base/version.gitMinor": _VERSION.split(".")[1],
        "k8s.io/component-base/version.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitVersion": _VERSION,
    }
    flags = "-s -w " + " ".join(f"-X {name}={value}" for name, value in versions.items())
    part.mkdir(exist_ok=True)
    # Without C, so that one needs no compiler of it.
    command = ("env", "CGO_ENABLED=0", "go", "build", "-mod=readonly", "-trimpath")
    _run(*command, "-ldflags", flags, "-o", f"{part}/", "./kube", "./kwok")
    part.replace(folder)
    return folder


def _run(*command: str, cwd: Path = _MODULE) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise ControlPlaneError(f"{' '.join(command[:3])}: {done.stderr.strip()[-2000:]}")
    return done.stdout


class ControlPlane:
    """A running one; a context manager."""

    def __init__(self, programs: Path, folder: Path) -> None:
        """Args: programs: what `build` made. folder: for its data and logs."""
        self._programs = programs
        self._folder = folder
        self._config = folder / "kubeconfig"
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "ControlPlane":
        """Start all parts; returns when the API answers."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        folder = self._folder
        token = secrets.token_hex(16)
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        key, public = _key(folder)
        api, etcd, peers = free_port(), free_port(), free_port()
        store, between = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peers}"
        self._part(
            "etcd",
            {
                "name": "one", "data-dir": folder / "etcd", "listen-client-urls": store,
                "advertise-client-urls": store, "listen-peer-urls": between,
                "initial-advertise-peer-urls": between, "initial-cluster": f"one={between}",
                "unsafe-no-fsync": "true", "log-level": "warn",
            },
        )  # fmt: skip
        self._part(
            "apiserver",
            {
                "etcd-servers": store, "bind-address": "127.0.0.1", "advertise-address": "127.0.0.1",
                "endpoint-reconciler-type": "none", "secure-port": api, "cert-dir": folder / "api",
                "token-auth-file": folder / "tokens.csv", "authorization-mode": "Node,RBAC",
                "service-cluster-ip-range": "10.96.0.0/16", "allow-privileged": "true",
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": public, "service-account-signing-key-file": key,
            },
        )  # fmt: skip
        self._config.write_text(_kubeconfig(api, folder / "api/apiserver.crt", token))
        self._until_ready()
        common = dict.fromkeys(
            ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"), self._config
        )
        common |= {"bind-address": "127.0.0.1", "leader-elect": "false"}  # type: ignore[dict-item]
        self._part(
            "controller-manager",
            common
            | {
                "secure-port": free_port(),
                "cert-dir": folder / "kcm",
                "service-account-private-key-file": key,
            },
        )
        self._part("scheduler", common | {"secure-port": free_port(), "cert-dir": folder / "scheduler"})
        self._kwok()

    def _kwok(self) -> None:
        found = _run("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok").strip()
        stages = [_run(str(kubectl()), "kustomize", f"{found}/kustomize/stage/{one}") for one in _STAGES]
        (self._folder / "stages.yaml").write_text("\n---\n".join(stages))
        options = {
            "kubeconfig": self._config, "manage-all-nodes": "true", "config": self._folder / "stages.yaml",
            "server-address": f"127.0.0.1:{free_port()}",
        }  # fmt: skip
        self._begin("kwok", [str(self._programs / "kwok"), *_flags(options)])

    def _part(self, name: str, options: Mapping[str, object]) -> None:
        self._begin(name, [str(self._programs / "kube"), name, *_flags(options)])

    def _begin(self, name: str, command: list[str]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            program = subprocess.Popen(  # noqa: S603 - ours
                launch_command("same", command), stdout=log, stderr=log, cwd=self._folder
            )
        self._running.append(program)

    def _until_ready(self) -> None:
        until = time.monotonic() + _READY_S
        while True:
            try:
                self.kubectl("get", "--raw", "/readyz")
            except ControlPlaneError:
                dead = any(program.poll() is not None for program in self._running)
                if dead or time.monotonic() > until:
                    raise ControlPlaneError((self._folder / "apiserver.log").read_text()[-2000:]) from None
                time.sleep(0.3)
            else:
                return

    def _stop(self) -> None:
        for program in reversed(self._running):
            program.terminate()
            try:
                program.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def kubectl(self, *words: str, given: str = "") -> str:
        """What `kubectl WORDS` says, with this on its standard input. Raises: ControlPlaneError: it fails."""
        done = subprocess.run(  # noqa: S603 - the pinned kubectl
            [str(kubectl()), f"--kubeconfig={self._config}", *words],
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ControlPlaneError(f"kubectl {' '.join(words[:3])}: {done.stderr.strip()[-3000:]}")
        return done.stdout

    def apply(self, objects: Iterable[Mapping[str, Any]], *more: str) -> None:
        """Apply objects; one that has a field which nobody knows is refused. Raises: ControlPlaneError."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        words = ("apply", "--server-side", "--force-conflicts", "--validate=strict", *more, "-f", "-")
        self.kubectl(*words, given=json.dumps(listed))

    def get(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind in our namespace."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("-n", "fanfare", "get", kind, "-o", "json"))[
            "items"
        ]
        return found


def _flags(options: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def _key(folder: Path) -> tuple[Path, Path]:
    """The key that signs the tokens of service accounts, and its public half."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key, public = folder / "accounts.key", folder / "accounts.pub"
    key.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        made.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return key, public


def _kubeconfig(port: int, authority: Path, token: str) -> str:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
    )
