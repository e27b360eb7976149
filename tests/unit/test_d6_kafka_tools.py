"""D6: the tools that `fanfare kafka` lists are there, and are told where Kafka is."""

import zipfile
from pathlib import Path

import pytest
from pydantic import SecretStr

from fanfare.bus.client import tool_properties
from fanfare.embedded.jars import default_folder, verify
from fanfare.embedded.java import TOOLS, with_brokers
from fanfare.settings import Settings

# What people type who know Kafka's distribution.
COMMON = {
    "acls", "cluster", "configs", "console-consumer", "console-producer", "consumer-groups", "delete-records",
    "dump-log", "features", "get-offsets", "leader-election", "log-dirs", "metadata-quorum", "producer-perf-test",
    "reassign-partitions", "storage", "topics", "transactions",
}  # fmt: skip


def test_d6_the_common_tools_are_listed():
    assert set(TOOLS) >= COMMON


def test_d6_every_listed_tool_is_in_the_jars():
    """Seen: `configs` was looked for where Kafka 4 does not have it. tests/cases starts each of them."""
    there = {
        name.removesuffix(".class").replace("/", ".")
        for jar in verify(default_folder())
        for name in zipfile.ZipFile(jar).namelist()
    }
    assert {tool for tool, main in TOOLS.items() if main not in there} == set()


@pytest.mark.parametrize(
    ("tool", "arguments", "wanted"),
    [
        ("topics", ["--list"], ["--bootstrap-server", "k:1", "--list"]),
        ("configs", ["--describe", "--topic", "a"], ["--bootstrap-server", "k:1", "--describe", "--topic", "a"]),
        ("topics", ["--bootstrap-server=x:2", "--list"], ["--bootstrap-server=x:2", "--list"]),
        ("metadata-quorum", ["describe", "--status"], ["--bootstrap-server", "k:1", "describe", "--status"]),
        ("cluster", ["cluster-id"], ["cluster-id", "--bootstrap-server", "k:1"]),
        ("replica-verification", ["--time", "-1"], ["--broker-list", "k:1", "--time", "-1"]),
        ("dump-log", ["--files", "a"], ["--files", "a"]),
        ("topics", ["--help"], ["--help"]),
    ],
)  # fmt: skip
def test_d6_the_brokers_are_filled_in_where_the_tool_wants_them(tool, arguments, wanted):
    assert with_brokers(tool, arguments, "k:1") == wanted


def test_d6_a_tool_is_told_how_to_log_in():
    assert with_brokers("topics", ["--list"], "k:1", "/f") == [
        "--bootstrap-server", "k:1", "--command-config", "/f", "--list",
    ]  # fmt: skip
    settings = Settings(
        kafka_security="SASL_SSL",
        kafka_sasl_username="ann",
        kafka_sasl_password=SecretStr('a"b\\c'),
        kafka_ca=Path("/ca.pem"),
    )
    lines = tool_properties(settings).splitlines()
    assert "security.protocol=SASL_SSL" in lines
    assert "ssl.truststore.location=/ca.pem" in lines
    # Escaped once for JAAS, and once more for the file.
    (login,) = [line for line in lines if line.startswith("sasl.jaas.config=")]
    assert login.endswith('ScramLoginModule required username="ann" password="a\\\\"b\\\\\\\\c";')
