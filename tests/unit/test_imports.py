"""Which module may import which. Every import counts: those inside of functions and those for types alone, too.

An import of `a.b` also runs `a/__init__.py`; that is not counted, or each package that exports what its modules have
would be a circle. What is imported by a name in a string is not seen; the product does that nowhere but for the
commands that come by an entry point.
"""

import ast
import functools
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.pure import pure_modules

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "fanout", "notifier", "archiver")
PRODUCT = ("fanfare", *SERVICES)
# What a module that says that it is pure has no use for.
IMPURE = (
    "asyncio", "logging", "os", "pathlib", "prometheus_client", "random", "secrets", "socket", "subprocess",
    "threading", "time", "fanfare.clock", "fanfare.telemetry",
)  # fmt: skip
# What stands upon the product.
TOOLS = ("torture", "demo", "benchmarks", "deploy")


@functools.cache
def modules() -> dict[str, Path]:
    """All modules of ours by their names; a package is its __init__."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in (*PRODUCT, *TOOLS)
        for path in (ROOT / package).rglob("*.py")
    }


def imported(path: Path) -> Iterator[str]:
    """The names of what a module imports: modules, and of ours also `module.name` where that is a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: relative imports are not used here"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inner if name in modules()]
            yield from found
            if len(found) < len(inner):
                yield node.module


@functools.cache
def graph() -> dict[str, frozenset[str]]:
    """What each module imports."""
    return {name: frozenset(imported(path)) for name, path in modules().items()}


def within(name: str, *packages: str) -> bool:
    """Whether a module is one of these, or inside of one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def arrows(*targets: str) -> set[tuple[str, str]]:
    """Who imports what of these packages."""
    return {(name, other) for name, found in graph().items() for other in found if within(other, *targets)}


def test_no_circle():
    ours = {name: {other for other in found if other in modules()} for name, found in graph().items()}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as circle:
        pytest.fail(" <- ".join(circle.args[1]))


@pytest.mark.parametrize("service", SERVICES)
def test_only_a_service_itself_and_tools_import_a_service(service):
    assert {arrow for arrow in arrows(service) if not within(arrow[0], service, *TOOLS)} == set()


def test_the_product_imports_no_tools():
    assert {arrow for arrow in arrows(*TOOLS) if within(arrow[0], *PRODUCT)} == set()


# Else whoever takes a new version of a client library has to look through all packages, not through one.
@pytest.mark.parametrize(
    ("library", "home"),
    [("aiokafka", "fanfare.bus"), ("redis", "fanfare.presence"), ("obstore", "fanfare.files")],
)
def test_only_one_package_of_the_product_imports_a_client_library(library, home):
    assert {arrow for arrow in arrows(library) if not within(arrow[0], home, *TOOLS)} == set()


def test_only_the_command_line_and_tools_import_the_stores_that_come_along():
    """An operator who has stores installs Fanfare without what these need."""
    home = "fanfare.embedded"
    assert {arrow for arrow in arrows(home) if not within(arrow[0], home, "fanfare.cli", *TOOLS)} == set()


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_says_that_it_is_pure_reaches_nothing(path):
    assert [name for name in imported(path) if within(name, *IMPURE)] == []
