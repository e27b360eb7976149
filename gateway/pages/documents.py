"""The documents of `docs/` as pages, for who runs Fanfare from its repository: made when the first is asked for."""

import html
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.pages.files import Asset, asset_of

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["documents"]

_FOLDER: Final = Path(__file__).parents[2] / "docs"
_PICTURES: Final = {".png": "image/png", ".svg": "image/svg+xml"}
_PAGE: Final = """<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Fanfare</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/style.css">
</head>
<body>
<nav class="documents" aria-label="Documents">
<a href="/">Chat</a> <a href="/live">Live view</a> <a href="/docs">Documents</a>
</nav>
<main class="document">
{body}</main>
</body>
</html>
"""
_NO_WORD: Final = re.compile(r"[^\w\- ]")


@lru_cache(maxsize=1)
def documents(folder: Path = _FOLDER) -> Mapping[str, Asset]:
    """All documents and their pictures, by the paths of their URLs; none where there is no such folder."""
    names = {
        file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()
    }
    found = {}
    for name, file in names.items():
        if file.suffix == ".md":
            found[_url(name)] = asset_of(_url(name), _page(name, file.read_text("utf-8"), names), "text/html")
        elif file.suffix in _PICTURES:
            found[f"/docs/{name}"] = asset_of(f"/docs/{name}", file.read_bytes(), _PICTURES[file.suffix])
    return found


def _url(name: str) -> str:
    """Where a document is served."""
    return "/docs" if name == "index.md" else f"/docs/{name.removesuffix('.md')}"


def _page(name: str, text: str, names: Mapping[str, object]) -> bytes:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - few ask for documents

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    title = next((one.content for before, one in pairwise(tokens) if before.tag == "h1"), name)
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            heading.attrSet("id", _slug(inline.content))
    for opens, inline, closes in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opens.type == "th_open" and not inline.content:
            opens.tag = closes.tag = "td"  # a heading without words says nothing to those who hear the page
    for token in tokens:
        _relink(token.children or [], posixpath.dirname(name), names)
    body = reader.renderer.render(tokens, reader.options, {})
    return _PAGE.format(title=html.escape(title), body=body).encode()


def _relink(tokens: "list[Token]", folder: str, names: Mapping[str, object]) -> None:
    """Let links and pictures lead to what is served; a link to another file of the repository becomes its text."""
    hiding = False
    for token in tokens:
        if token.type == "link_close":
            token.hidden, hiding = hiding, False
        attribute = {"link_open": "href", "image": "src"}.get(token.type)
        if attribute is None:
            continue
        target, hash_, fragment = str(token.attrGet(attribute) or "").partition("#")
        if not target or "://" in target:
            continue
        there = posixpath.normpath(posixpath.join(folder, target))
        if there in names:
            url = _url(there) if there.endswith(".md") else f"/docs/{there}"
            token.attrSet(attribute, f"{url}{hash_}{fragment}")
        elif token.type == "link_open":
            token.hidden = hiding = True


def _slug(heading: str) -> str:
    """The fragment that leads to a heading, as those who host repositories make it."""
    return _NO_WORD.sub("", heading.lower()).replace(" ", "-")
