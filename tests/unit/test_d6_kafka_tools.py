"""D6: the tools that `fanfare kafka` lists are there, and are told where Kafka is."""

import zipfile

import pytest

from fanfare.embedded.jars import default_folder, verify
from fanfare.embedded.java import TOOLS, with_brokers

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
