"""What the REST port serves to browsers: the files, their headers, who is offered a log-in, and the live stream."""

import html.parser
import os
import re
import socket
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.pages import deltas
from gateway.pages.deltas import changes
from gateway.pages.documents import documents
from gateway.pages.files import assets, headers
from gateway.pages.offers import is_local, owner

WEB = Path(__file__).parents[2] / "web"
ALL = {asset.path: asset for asset in assets()}


def test_each_file_of_web_is_served_and_nothing_else():
    served = {path.removeprefix("/assets/") for path in ALL} - {"/", "/live"}
    there = {
        path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.suffix in {".js", ".css", ".svg"}
    }
    assert served == there
    assert ALL["/"].content_type == ALL["/live"].content_type == "text/html; charset=utf-8"


class Links(html.parser.HTMLParser):
    """What a page loads, and what in it would be a program."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.programs: list[str] = []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.loaded += [values[name] for name in ("src", "href") if name in values]
        self.programs += [name for name in values if name.startswith("on") or name == "style"]
        if tag == "script" and "src" not in values:
            self.programs.append(tag)


@pytest.mark.parametrize("page", ["/", "/live"])
def test_a_page_loads_only_what_is_served_with_it(page):
    links = Links()
    links.feed(ALL[page].body.decode())
    assert links.loaded
    assert set(links.loaded) <= set(ALL)
    assert links.programs == []


def test_each_module_imports_only_what_is_served():
    for path, asset in ALL.items():
        for name in re.findall(r'from "([^"]+)"', asset.body.decode()):
            assert urljoin(path, name) in ALL, f"{path} imports {name}"


def test_nothing_typed_can_become_html():
    for path, asset in ALL.items():
        text = asset.body.decode()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path


def test_a_page_may_connect_to_its_own_server_and_to_the_gateway_alone():
    said = headers("wss://chat.example:8443/gateway/")
    policy = dict(part.split(" ", 1) for part in said["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == "'self' wss://chat.example:8443"
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in said["Content-Security-Policy"]
    assert said["X-Content-Type-Options"] == "nosniff"


OURS = {"Host": "127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("others", "peer", "offered"),
    [
        ({}, "127.0.0.1", True),
        ({"Host": "localhost"}, "127.0.0.1", True),
        ({"Host": "[::1]:8080"}, "::1", True),
        # A page of a stranger whose name leads here.
        ({"Host": "stranger.example:8080"}, "127.0.0.1", False),
        ({"Host": "127.0.0.1.stranger.example"}, "127.0.0.1", False),
        ({"Sec-Fetch-Site": "cross-site"}, "127.0.0.1", False),
        ({"Sec-Fetch-Site": "same-site"}, "127.0.0.1", False),
        # Somebody behind a proxy on this machine.
        ({"X-Forwarded-For": "192.0.2.1"}, "127.0.0.1", False),
        ({"forwarded": "for=192.0.2.1"}, "127.0.0.1", False),
        ({}, "192.0.2.1", False),
        ({"Host": "["}, "127.0.0.1", False),
        ({"Host": ""}, "127.0.0.1", False),
    ],
)
def test_people_are_offered_to_our_own_page_on_this_machine_alone(others, peer, offered):
    said = CIMultiDict(OURS)
    said.update(others)
    assert is_local(said, peer) is offered


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_user_of_the_other_end_is_found(family, host):
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with server, socket.create_connection(server.getsockname()[:2]) as client:
        own, _ = server.accept()
        with own:
            lines = (
                Path("/proc/net/tcp" if host == "127.0.0.1" else "/proc/net/tcp6").read_text().splitlines()
            )
            assert owner(lines, own.getpeername()[:2], own.getsockname()[:2]) == os.getuid()
            assert owner(lines, client.getpeername()[:2], own.getsockname()[:2]) is None


rows = st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("xy"), st.integers(0, 2)))
tables = st.dictionaries(st.sampled_from(["partitions", "processes"]), rows)


@given(tables, tables)
def test_a_delta_makes_the_one_of_the_other(before, after):
    delta = changes(before, after)
    made = {table: dict(rows) for table, rows in before.items()}
    for table, names in delta["gone"].items():
        for name in names:
            del made[table][name]
    for table, put in delta["set"].items():
        made.setdefault(table, {}).update(put)
    assert {table: rows for table, rows in made.items() if rows} == {
        table: rows for table, rows in after.items() if rows
    }
    assert changes(after, after) == {"set": {}, "gone": {}}


def test_how_long_events_took_is_told_in_words_that_sort():
    figures = {"groups": [], "processes": [], "kafka": None, "redis": None, "postgres": None, "problems": {}}
    figures["delivery"] = {"per_s": 0.0, "p50_ms": None, "p95_ms": None, "p99_ms": None}
    for endless in (float("inf"), None):
        figures["latency"] = [[0.005, 10.0], [2.5, 1.0], [endless, 0.5]]
        assert deltas.tables(figures)["latency"] == {
            "5 ms": {"order": 0, "per_s": 10.0},
            "2.5 s": {"order": 1, "per_s": 1.0},
            "longer than 2.5 s": {"order": 2, "per_s": 0.5},
        }


def test_each_document_is_a_page_whose_links_lead_somewhere():
    pages = documents()
    assert {"/docs", "/docs/clients", "/docs/topics/delivery", "/docs/pictures/live.png"} <= set(pages)
    ids = {
        path: set(re.findall(r'<h[1-6] id="([^"]*)"', page.body.decode()))
        for path, page in pages.items()
        if page.content_type.startswith("text/html")
    }
    for path in ids:
        links = Links()
        links.feed(pages[path].body.decode())
        assert links.programs == [], path
        for link in links.loaded:
            target, _, fragment = link.partition("#")
            if "://" in link or target in {"/", "/live"} or target.startswith("/assets/"):
                continue
            assert (target or path) in pages, f"{path} leads to {link}"
            assert not fragment or fragment in ids[target or path], f"{path} leads to {link}"


def test_a_document_cannot_bring_html_along(tmp_path):
    (tmp_path / "index.md").write_text(
        "# A <b>title</b>\n\n<script>x</script> [x](javascript:alert(1)) [y](../y.md)\n"
    )
    page = documents(tmp_path)["/docs"].body.decode()
    assert "<script>" not in page
    assert "<b>" not in page
    assert 'href="javascript' not in page
    assert "../y.md" not in page


def test_where_there_are_no_documents_none_is_served(tmp_path):
    assert documents(tmp_path / "nothing") == {}
