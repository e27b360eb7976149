"""Kafka brokers of a test's own, with settings that the embedded ones do not have."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanfare.embedded.folder import DataFolder
from fanfare.embedded.kafka import prepare_kafka
from fanfare.probe import port_open

USERS = ("admin", "gateway", "fanout", "notifier", "archiver")
READY_S = 60


def closed_to_strangers(port: int) -> str:
    """Users with passwords (each its own name), who may only what ACLs say; but `admin`, who may all."""
    users = " ".join(f'user_{name}="{name}"' for name in USERS)
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return f"""
advertised.listeners=SASL_PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_PLAINTEXT
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={login} username="admin" password="admin" {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
"""


@contextmanager
def broker(home: Path, *, closed: bool = False, **settings: str) -> Iterator[str]:
    """A broker that runs inside the block: its bootstrap server. Settings with `_` for the dots."""
    folder = DataFolder(home)
    folder.make()
    servers, (spec,) = asyncio.run(prepare_kafka(folder, 1, 0))
    port = int(servers.rpartition(":")[2])
    config = folder.home / "kafka" / "1.properties"
    text = config.read_text()
    if closed:
        text = text.replace("listeners=PLAINTEXT://", "listeners=SASL_PLAINTEXT://", 1)
        text += closed_to_strangers(port)
    text += "".join(f"{name.replace('_', '.')}={value}\n" for name, value in settings.items())
    config.write_text(text.replace("PORT", str(port)))
    with spec.log.open("wb") as log:
        process = subprocess.Popen(spec.command, env=spec.env, stdout=log, stderr=log)
        try:
            wait_until_open(process, port, spec.log)
            yield servers
        finally:
            process.terminate()
            process.wait(timeout=READY_S)


def wait_until_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a broker listens."""
    until = time.monotonic() + READY_S
    while not asyncio.run(port_open("127.0.0.1", port)):
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(log.read_text()[-2000:])
        time.sleep(0.1)
