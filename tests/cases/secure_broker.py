"""A Kafka broker of a test's own that speaks TLS: with SCRAM on one port, with certificates of clients on another."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fanfare.embedded.folder import DataFolder
from fanfare.embedded.kafka import prepare_kafka
from fanfare.embedded.ports import free_port
from tests.cases.brokers import READY_S, wait_until_open
from tests.cases.certificates import Authority
from tests.stack import clean_environment

USER, PASSWORD = "fanfare", 'a "pass\\word", quoted'


class SecureBroker(NamedTuple):
    """Its addresses."""

    plain: str
    scram: str
    """SASL_SSL with SCRAM-SHA-512."""
    mutual: str
    """SSL, and clients have to have a certificate."""


@contextmanager
def secure_broker(home: Path, authority: Authority, **settings: str) -> Iterator[SecureBroker]:
    """A broker that runs inside the block, with one user. Further settings with `_` for the dots."""
    folder = DataFolder(home)
    folder.make()
    plain, (spec,) = asyncio.run(prepare_kafka(folder, 1, 0))
    scram, mutual = (f"127.0.0.1:{free_port('127.0.0.1')}" for _ in range(2))
    config = folder.home / "kafka" / "1.properties"
    more = "".join(f"{name.replace('_', '.')}={value}\n" for name, value in settings.items())
    config.write_text(_secured(config.read_text(), scram, mutual, authority) + more)
    with spec.log.open("wb") as log:
        process = subprocess.Popen(spec.command, env=spec.env, stdout=log, stderr=log)
        try:
            wait_until_open(process, int(plain.rpartition(":")[2]), spec.log)
            make_user(home, plain, USER, PASSWORD)
            yield SecureBroker(plain, scram, mutual)
        finally:
            process.terminate()
            process.wait(timeout=READY_S)


def _secured(text: str, scram: str, mutual: str, authority: Authority) -> str:
    authority.issue("broker")
    more = f",SASL_SSL://{scram},SSL://{mutual}"
    lines = [
        line + more if line.startswith(("listeners=", "advertised.listeners=")) else line
        for line in text.splitlines()
    ]
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": login,
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.folder / "broker.both.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.pem),
    }
    return "\n".join([*lines, *(f"{name}={value}" for name, value in settings.items())]) + "\n"


def make_user(home: Path, plain: str, user: str, password: str) -> None:
    """A user who logs in by SCRAM."""
    given = f"SCRAM-SHA-512=[password={password}]"
    alter = ("--alter", "--add-config", given, "--entity-type", "users", "--entity-name", user)
    subprocess.run(
        [sys.executable, "-m", "fanfare.cli", "kafka", "configs", *alter],
        env=clean_environment(home, kafka=plain),
        check=True,
        capture_output=True,
        timeout=120,
    )
