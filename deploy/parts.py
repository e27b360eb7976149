"""The list of all parts that an installation consists of, as CycloneDX: `python -m deploy.parts > parts.json`.

Python packages are those of requirements/run.txt and of requirements/image.txt, jars those of Kafka's lock. Versions
and hashes are the pinned ones; licences are what each part says of itself.
"""

import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from fanfare import __version__
from fanfare.embedded.jars import default_folder

__all__ = ["main", "parts"]

_ROOT: Final = Path(__file__).parents[1]
_LOCK: Final = _ROOT / "fanfare/embedded/apache-kafka/jgo.lock.toml"
_LINE: Final = 70
# What jars that say nothing themselves are licensed under, from their projects' pages.
_SILENT: Final = {
    "activation": "CDDL-1.0",
    "hash4j": "Apache-2.0",
    "maven-artifact": "Apache-2.0",
    "metrics-core": "Apache-2.0",
    "pcollections": "MIT",
    "re2j": "BSD-3-Clause",
    "slf4j-api": "MIT",
    "slf4j-nop": "MIT",
    "slf4j-simple": "MIT",
}


def parts() -> dict[str, Any]:
    """The list."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "fanfare", "version": __version__}},
        "components": [*_packages(), *_jars()],
    }


def _component(name: str, version: str, purl: str, hashes: list[str], licence: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        # Of a package with a file for each platform, those of all of them.
        "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
        "licenses": [{"license": {"name": licence}}] if licence else [],
    }


def _packages() -> Iterator[dict[str, Any]]:
    texts = (
        (_ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ") for name in ("run", "image")
    )
    listed = set()
    for line in "".join(texts).splitlines():
        found = re.match(r"([\w.-]+)==(\S+)", line)
        if found and found.groups() not in listed:
            name, version = found.groups()
            listed.add((name, version))
            hashes = re.findall(r"--hash=sha256:(\w+)", line)
            yield _component(name, version, f"pkg:pypi/{name}@{version}", hashes, _licence_of_package(name))


def _licence_of_package(name: str) -> str:
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    classified = [
        each.rpartition(" :: ")[2] for each in said.get_all("Classifier") or () if each.startswith("License")
    ]
    (expression, *_), (text, *_) = (
        said.get_all(field) or [""] for field in ("License-Expression", "License")
    )
    return expression or " OR ".join(classified) or text.strip().partition("\n")[0][:_LINE]


def _jars() -> Iterator[dict[str, Any]]:
    folder = default_folder()
    for one in tomllib.loads(_LOCK.read_text())["dependencies"]:
        group, name, version = one["groupId"], one["artifactId"], one["version"]
        licence = _licence_of_jar(folder, f"{name}-{version}.jar") or _SILENT.get(name, "")
        purl = f"pkg:maven/{group}/{name}@{version}"
        yield _component(name, version, purl, [one["sha256"]], licence)


def _licence_of_jar(folder: Path, file: str) -> str:
    path = next(iter(folder.rglob(file)), None)
    if path is None:
        return ""
    with zipfile.ZipFile(path) as jar:
        names = jar.namelist()
        texts = {name: jar.read(name).decode(errors="replace") for name in names if _tells(name)}
    for text in (text for name, text in texts.items() if name.endswith("pom.xml")):
        if found := re.search(r"<licenses>.*?<name>\s*(.*?)\s*</name>", text, re.DOTALL):
            return found[1]
    manifest = texts.get("META-INF/MANIFEST.MF", "").replace("\r\n ", "").replace("\n ", "")
    if found := re.search(r"^Bundle-License: (.*)$", manifest, re.MULTILINE):
        return found[1].strip()
    whole = " ".join(text for name, text in texts.items() if "LICENSE" in name)
    return next((each for each in ("Apache License", "MIT License") if each in whole), "")


def _tells(name: str) -> bool:
    return name.endswith(("pom.xml", "META-INF/MANIFEST.MF")) or name.rpartition("/")[2].startswith("LICENSE")


def main() -> None:
    """Print it."""
    json.dump(parts(), sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
