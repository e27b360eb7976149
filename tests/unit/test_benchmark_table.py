"""The table of results."""

import pytest

from benchmarks.table import rewritten, table

SAID = {
    "benchmark": "workers",
    "results": [
        {
            "case": "a",
            "value": 12345.6,
            "unit": "u",
            "baseline": 2.0,
            "ratio": 0.5,
            "aim": ">=1",
            "met": False,
        },
        {"case": "b", "value": 0.01234, "unit": "u", "baseline": None, "ratio": None, "aim": "", "met": None},
    ],
    "environment": {"commit": "abc"},
}


def test_a_row_for_each_case():
    rows = table([SAID]).splitlines()
    assert rows[2] == "| workers | a | 12,346 u | 2 | 0.5 | >=1 | **no** | abc |"
    assert rows[3] == "| workers | b | 0.0123 u |  |  |  |  | abc |"


def test_only_the_table_changes():
    page = "# Top\n<!-- results -->\nold\n<!-- /results -->\nend\n"
    found = rewritten(page, [SAID])
    assert found.startswith("# Top\n<!-- results -->\n| benchmark")
    assert found.endswith("<!-- /results -->\nend\n")
    assert "old" not in found
    assert rewritten(found, [SAID]) == found


def test_a_page_without_a_place_is_refused():
    with pytest.raises(ValueError, match="results"):
        rewritten("nothing", [SAID])
