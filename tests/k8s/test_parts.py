"""The list of parts has every part, each with a version, a hash and a licence."""

import re
import tomllib

import pytest

from deploy.kubernetes import ROOT
from deploy.parts import parts


@pytest.fixture(scope="module")
def components():
    return parts()["components"]


def test_no_part_is_missing_and_none_is_listed_twice(components):
    pinned = {
        f"pkg:pypi/{name}@{version}"
        for file in ("run", "image")
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)", (ROOT / f"requirements/{file}.txt").read_text(), re.MULTILINE
        )
    }
    lock = tomllib.loads((ROOT / "fanfare/embedded/apache-kafka/jgo.lock.toml").read_text())
    jars = {
        f"pkg:maven/{one['groupId']}/{one['artifactId']}@{one['version']}" for one in lock["dependencies"]
    }
    found = [one["purl"] for one in components]
    assert sorted(found) == sorted(pinned | jars)


def test_each_part_has_its_hash_and_its_licence(components):
    for one in components:
        assert one["version"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", each["content"]) for each in one["hashes"])
        assert one["hashes"]
        assert one["licenses"], one["name"]
