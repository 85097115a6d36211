"""What the tests of the command line share."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling import cli
from tests.airflow.shop import LAG, Shop
from tests.conftest import SECRET_KEY


@pytest.fixture
def shop(sandbox, connect, tmp_path, passing_time):
    shop = Shop(sandbox, tmp_path / "ledger", passing_time)
    connect(host=sandbox.url, extra={"ledger_uri": shop.folder.as_uri(), "order_book_lag": LAG})
    return shop


@pytest.fixture
def run(shop, capsys, monkeypatch):
    """Run a command; nothing may be bought by it, and nothing may be written but by a ``settle`` that succeeds."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def spent():
        return shop.sandbox.requests.get("CreateInstance", 0), shop.sandbox.ledger.balance_cents

    def run(*arguments):
        capsys.readouterr()
        before, records = spent(), shop.files()
        code = cli.main(list(arguments))
        out, err = capsys.readouterr()
        assert spent() == before
        assert (arguments[0], code) == ("settle", 0) or shop.files() == records
        assert SECRET_KEY not in out + err
        return code, out, err

    return run
