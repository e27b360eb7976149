"""Apache Kafka in KRaft mode: one node, or three that are broker and controller each."""

import asyncio
import json
import os
import shutil
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fanfare.embedded import aot
from fanfare.embedded.child import Spec
from fanfare.embedded.errors import UpError
from fanfare.embedded.folder import DataFolder, write_atomically
from fanfare.embedded.jars import default_folder, verify
from fanfare.embedded.java import java_command
from fanfare.embedded.ports import free_port, reserve
from fanfare.embedded.tool import run_tool
from fanfare.probe import port_open

__all__ = ["prepare_kafka"]

HOST = "127.0.0.1"
HEAP_MB = 384
STOP_S = 4.0
# Partitions of the topic of offsets: the default of 50 costs seconds at a first start; these still spread our groups.
INTERNAL_PARTITIONS = 8


async def prepare_kafka(
    folder: DataFolder, brokers: int, first_port: int, java_options: list[str] | None = None
) -> tuple[str, list[Spec]]:
    """Check the jars, make the data folders at the first start, and write the configuration.

    Answers the bootstrap servers and what to start. `java_options` take the place of those that use the recorded
    cache.

    Raises:
        UpError: a jar is wrong, a port in use, or the data folder is damaged or another cluster's.

    """
    home = folder.home / "kafka"
    if any(character in str(home) for character in ",:"):
        raise UpError(
            f"Kafka cannot keep its data in {home}: no comma or colon may be in the path; set FANFARE_HOME"
        )
    jars = await asyncio.to_thread(verify, default_folder())
    ports = [
        reserve("FANFARE_KAFKA_PORT", first_port + number if first_port else 0, HOST)
        for number in range(brokers)
    ]
    controllers = [free_port(HOST) for _ in range(brokers)]
    home.mkdir(mode=0o700, exist_ok=True)
    cluster = _cluster_id(home, brokers)
    nodes = [_Node(number, *pair) for number, pair in enumerate(zip(ports, controllers, strict=True), 1)]
    for node in nodes:
        if (home / str(node.number)).exists():
            _check_meta(home / str(node.number), cluster, node.number)
    missing = [node for node in nodes if not (home / str(node.number)).exists()]
    await asyncio.gather(*(_format(jars, home, node, nodes, cluster) for node in missing))
    options = await asyncio.to_thread(aot.options, jars) if java_options is None else java_options
    specs = []
    for node in nodes:
        config = home / f"{node.number}.properties"
        write_atomically(config, _properties(node, nodes, home / str(node.number)))
        specs.append(
            Spec(
                name=f"kafka.{node.number}",
                role="kafka",
                command=java_command(jars, "kafka.Kafka", str(config), heap_mb=HEAP_MB, options=options),
                env=dict(os.environ),
                log=folder.logs / f"kafka.{node.number}.log",
                ready=_ready(node.port),
                address=f"{HOST}:{node.port}",
                stop_s=STOP_S,
            )
        )
    return ",".join(f"{HOST}:{port}" for port in ports), specs


@dataclass(frozen=True)
class _Node:
    """A broker that is a controller too, and the ports of both."""

    number: int
    port: int
    controller_port: int


def _properties(node: _Node, nodes: list[_Node], data: Path) -> str:
    """A node's configuration file."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "log.dirs": str(data),
        "controller.quorum.voters": ",".join(f"{one.number}@{HOST}:{one.controller_port}" for one in nodes),
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        **_common_settings(len(nodes)),
    }
    lines = (f"{name}={value}".replace("\\", "\\\\") for name, value in settings.items())
    return "# Written by `fanfare up` at each start.\n" + "\n".join(lines) + "\n"


def _common_settings(brokers: int) -> dict[str, str]:
    in_sync = str(brokers // 2 + 1)
    return {
        "auto.create.topics.enable": "false",
        "default.replication.factor": str(brokers),
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": str(brokers),
        "offsets.topic.num.partitions": str(INTERNAL_PARTITIONS),
        "transaction.state.log.replication.factor": str(brokers),
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": str(INTERNAL_PARTITIONS),
        "share.coordinator.state.topic.replication.factor": str(brokers),
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": str(INTERNAL_PARTITIONS),
        # Workers notice a killed member within their session timeout, which may be as low as this.
        "group.min.session.timeout.ms": "1000",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker is replaced as leader in about 5 s; 11 s with the defaults.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


def _cluster_id(home: Path, brokers: int) -> str:
    """The id of the cluster in this folder, made at its first use together with the number of brokers."""
    path = home / "cluster.json"
    if not path.exists():
        cluster = "-"
        while cluster.startswith("-"):  # Kafka's tool would take it for an option
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        write_atomically(path, json.dumps({"cluster_id": cluster, "brokers": brokers}) + "\n")
        return cluster
    try:
        made = json.loads(path.read_text("utf-8"))
        cluster, nodes = str(made["cluster_id"]), int(made["brokers"])
    except (OSError, ValueError, LookupError, TypeError):
        raise UpError(
            f"{path} is damaged: put it back from a backup, or start afresh with `fanfare reset`"
        ) from None
    if nodes != brokers:
        raise UpError(
            f"{home} holds a cluster of {nodes} brokers and FANFARE_BROKERS is {brokers}: "
            f"set it to {nodes}, or start afresh with `fanfare reset`"
        )
    return cluster


def _check_meta(data: Path, cluster: str, node: int) -> None:
    meta = data / "meta.properties"
    try:
        lines = meta.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if found.get("cluster.id") != cluster or found.get("node.id") != str(node):
        raise UpError(f"{meta} is damaged: put it back from a backup, or start afresh with `fanfare reset`")


async def _format(jars: list[Path], home: Path, node: _Node, nodes: list[_Node], cluster: str) -> None:
    """Make a node's data folder. It gets its name last, so that a half-made folder is not taken for a whole one."""
    fresh = home / f"{node.number}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    config = home / f"{node.number}.format.properties"
    write_atomically(config, _properties(node, nodes, fresh))
    command = java_command(jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config))
    await run_tool("making Kafka's data folder", command)
    fresh.rename(home / str(node.number))
    config.unlink()


def _ready(port: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return await port_open(HOST, port)

    return ready
