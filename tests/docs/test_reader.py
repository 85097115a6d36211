"""The reader of the pages notices what is wrong with them."""

from __future__ import annotations

import pytest
from airflow import __version__ as airflow_version

from tests.docs.blocks import Block
from tests.docs.likeness import missing_lines

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the pages are run where make test runs"),
]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("rust", "fn main() {}", id="a language that nothing runs"),
        pytest.param("text", "What nobody says.", id="an output that nothing produces"),
        pytest.param("console", "$ false", id="a command that fails"),
        pytest.param("console", "$ echo 1\n2", id="an output that is not printed"),
        pytest.param("console", "$ make no-such-target", id="a target of make that is not there"),
        pytest.param("console", "$ export AIRFLOW_CONN_TCBILLING_DEFAULT='tcbilling://:key@'", id="no connection"),
        pytest.param("json", '{"conn_type": "tcbilling", "extra": {"read_time": 1}}', id="an extra that is not read"),
        pytest.param("json", "{", id="no JSON"),
        pytest.param("ini", "[tcbilling]\nhosts = here", id="an option that is not read"),
        pytest.param("python", "import no_such_module", id="Python that fails"),
        pytest.param("python", "1 + 1  # 3", id="a value that is another one"),
        pytest.param("", "no_such_file.py    what it does", id="a file that is not there"),
    ],
)
def test_a_block_that_is_wrong_fails(reader, kind, text):
    with pytest.raises(AssertionError):
        reader.read(Block("page.md", 1, kind, "", text))


def test_numbers_and_times_may_differ_and_words_may_not():
    said = ["order 20261125710000000002811, made 2026-11-25 23:14:47", "...", "  then: ..."]

    assert missing_lines(said, "order 20270101710000000000011, made 2027-01-01 00:00:00\n\nthen: clear") == []
    assert missing_lines(said, "order 20270101710000000000011, paid 2027-01-01 00:00:00\n\nthen: clear") == said[:1]
