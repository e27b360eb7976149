"""Files that are made from code say what the code says."""

import pytest

from deploy.files import made
from deploy.kubernetes import ROOT


@pytest.mark.parametrize("path", made(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_made_from_code_are_up_to_date(path):
    assert path.read_text() == made()[path], "run `python -m deploy.files`"
