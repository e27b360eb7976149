"""The table of results in docs/benchmarks/README.md, made from the benchmarks' JSON. Pure."""

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["rewritten", "table"]

_BEGIN: Final = "<!-- results -->\n"
_END: Final = "<!-- /results -->"


def table(results: Iterable[dict[str, Any]]) -> str:
    """One row a case."""
    rows = [
        "| benchmark | case | value | baseline | ratio | aim | met | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for said in results:
        for result in said["results"]:
            met = {True: "yes", False: "**no**", None: ""}[result["met"]]
            cells = (
                said["benchmark"],
                result["case"],
                f"{_number(result['value'])} {result['unit']}",
                _number(result["baseline"]),
                _number(result["ratio"]),
                result["aim"],
                met,
                said["environment"]["commit"],
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def rewritten(page: str, results: Iterable[dict[str, Any]]) -> str:
    """The page with the table in the place of the one before it.

    Raises:
        ValueError: the page has no place for it.

    """
    head, begin, rest = page.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN.strip()} and {_END}")
    return head + begin + table(results) + end + tail


def _number(value: float | None) -> str:
    """Three digits that count, or all before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
