"""D6: every tool that `fanfare kafka` lists starts, and those that people type most work on our Kafka."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

from fanfare.embedded.jars import default_folder, verify
from fanfare.embedded.java import TOOLS, tool_command


def _help(tool: str) -> str:
    command = tool_command(verify(default_folder()), tool, "--help")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return (done.stdout + done.stderr).lower()


def test_d6_every_listed_tool_starts():
    """Java says that a class is missing before the tool can say anything."""
    with ThreadPoolExecutor(2) as several:
        said = dict(zip(TOOLS, several.map(_help, TOOLS), strict=True))
    assert [tool for tool, text in said.items() if "classnotfound" in text or "noclassdef" in text] == []
    known = ("usage", "option", "tool")
    assert [tool for tool, text in said.items() if not any(word in text for word in known)] == []


def test_d6_configs_cluster_and_quorum_answer(stores):
    configs = stores.command("kafka", "configs", "--describe", "--topic", "chat.events").stdout
    assert "retention.ms=604800000" in configs
    assert "Cluster ID" in stores.command("kafka", "cluster", "cluster-id").stdout
    quorum = stores.command("kafka", "metadata-quorum", "describe", "--status").stdout
    assert "LeaderId" in quorum
