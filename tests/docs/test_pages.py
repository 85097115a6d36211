"""The documentation runs: each block and command of each page, in its order, and what the page says then holds."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections import Counter

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_tcbilling.ledger.reports_span import ZONE, day_of
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.docs.blocks import PAGES, Block, blocks_of, text_of
from tests.docs.likeness import missing_lines
from tests.docs.not_run import NOT_RUN, mark
from tests.docs.outputs import OUTPUTS, two_orders_match
from tests.support.databases import NotInstalled

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the pages are run where make test runs"),
    pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="the pages say bash and curl"),
]

DAY = 86_400


def two_orders_that_fit(reader):
    """An answer was lost a while ago, and somebody has bought the same by hand."""
    shop = two_orders_match(reader.sandbox, reader.folder / "ledger")
    reader.ledger_uri = shop.folder.as_uri()
    reader.given["20261125710000000002811"] = shop.orders[1]


def instances_that_expire(reader):
    add, now = reader.sandbox.account.add_instance, time.time()
    add(expires_at=now + 3 * DAY, name="edge-1")
    add(expires_at=now + 5 * DAY, name="edge-2", renew_flag="NOTIFY_AND_AUTO_RENEW")
    later = add(expires_at=now + 700 * DAY, name="renewed by somebody")
    reader.given = {"ins-1": later.instance_id, "2027-01-31 08:00:00": "2026-01-31 08:00:00"}


def an_instance_of_today(reader):
    now = time.time()
    instance = reader.sandbox.account.add_instance(expires_at=now + 30 * DAY, bought_at=now - 60, voucher_cents=100)
    reader.given = {"ins-d82c07cd": instance.instance_id}
    reader.params = {"confirm": True, "instance_id": instance.instance_id}


def the_key_of_these_tests(reader):
    reader.given = {"AKIDSANDBOX:sandbox-key": f"{SECRET_ID}:{SECRET_KEY}"}


def a_file_with_a_new_key(reader):
    connection = {"conn_type": "tcbilling", "host": reader.url, "login": SECRET_ID, "password": SECRET_KEY}
    (reader.checkout / "connection.json").write_text(json.dumps({"tcbilling_default": connection}), encoding="utf-8")


def a_server_for_the_ledger(reader):
    try:
        server = reader.postgres()
    except NotInstalled as error:
        pytest.skip(str(error))
    reader.export("AIRFLOW_CONN_TCBILLING_LEDGER", server.connection("tcbilling", login="tcbilling", password="..."))
    tencent = {"conn_type": "tcbilling", "host": reader.url, "login": SECRET_ID, "password": SECRET_KEY}
    reader.export("AIRFLOW_CONN_TCBILLING_DEFAULT", {**tencent, "extra": {"ledger_conn_id": "tcbilling_ledger"}})
    server.execute("CREATE ROLE airflow_worker LOGIN PASSWORD '...'")


def a_purchase_of_the_demo(reader):
    reader.export("AIRFLOW_CONN_TCBILLING_LEDGER", {"conn_type": "sqlite", "host": f"{reader.folder}/ledger.db"})
    tencent = {"conn_type": "tcbilling", "host": reader.url, "login": SECRET_ID, "password": SECRET_KEY}
    reader.export("AIRFLOW_CONN_TCBILLING_DEFAULT", {**tencent, "extra": {"ledger_conn_id": "tcbilling_ledger"}})
    reader.shell("AIRFLOW__CORE__DAGS_FOLDER=example_dags airflow dags test tcbilling_buy_deferrable")


def a_month_with_a_purchase(reader):
    a_purchase_of_the_demo(reader)
    reader.given["2026-11"] = day_of(time.time(), ZONE)[:7]


BEFORE = {
    "README.md": a_purchase_of_the_demo,
    "docs/how-to/alert-on-a-stopped-purchase.md": two_orders_that_fit,
    "docs/how-to/rotate-keys.md": a_file_with_a_new_key,
    "docs/reference/connection.md": the_key_of_these_tests,
    "docs/how-to/explain-and-settle.md": two_orders_that_fit,
    "docs/how-to/reconcile-a-month.md": a_month_with_a_purchase,
    "docs/how-to/recover-a-failed-task.md": two_orders_that_fit,
    "docs/how-to/refund.md": an_instance_of_today,
    "docs/how-to/renew.md": instances_that_expire,
    "docs/how-to/run-on-a-fleet.md": a_server_for_the_ledger,
    "docs/reference/instance-expiry-sensor.md": instances_that_expire,
    "docs/reference/refund-instance-operator.md": an_instance_of_today,
}


def a_lost_answer_was_found(reader):
    numbers = {order["order_id"] for order in reader.asked("orders")["orders"]}

    assert len(numbers) == reader.asked("health")["requests"]["CreateInstance"] == 2
    assert set(re.findall(r"\b\d{15,}\b", reader.printed)) == numbers


def the_notebook_shows_instances_and_price(reader):
    assert reader.printed.startswith("('ins-")
    assert f"{PRICE} USD" in reader.printed


def the_notebook_also_buys_with_a_role(reader):
    the_notebook_shows_instances_and_price(reader)
    assert reader.printed.endswith("connection, role qcs::cam::uin/100000000001:roleName/buyer 100000000001 1\n")


def the_first_is_renewed_and_what_renews_itself_is_not(reader):
    assert reader.sandbox.requests["RenewInstance"] == 1
    assert dict(re.findall(r"^task ended: (\S+) (\w+)$", reader.printed, re.MULTILINE)) == {
        "expiring[-1]": "success",
        "renew[0]": "success",
        "renew[1]": "skipped",
        "due[-1]": "success",
        "renewed[-1]": "success",
    }


def the_plan_is_as_shown_and_one_is_refunded(reader):
    plan = json.JSONDecoder().raw_decode(reader.printed.partition("What is known of this refund:\n")[2])[0]
    shown = reader.json
    assert list(plan) == list(shown)
    assert list(plan["orders"][0]) == list(shown["orders"][0])
    assert plan["obstacles"] == []
    assert reader.sandbox.requests["RefundInstance"] == 1


def the_books_have_one_purchase(reader):
    assert "The books agree" in (reader.checkout / "books.html").read_text(encoding="utf-8")
    month = reader.given["2026-11"]
    (row,) = csv.DictReader((reader.checkout / f"{month}.csv").open(encoding="utf-8"))
    assert (row["result"], row["gross_cents"], row["dag_id"]) == ("agreed", str(PRICE), "tcbilling_buy_deferrable")


def every_address_of_the_table_answers(reader):
    addresses = re.findall(r"`GET`?.* /_sandbox/(\w+)` \|", text_of("docs/reference/sandbox.md"))
    assert len(addresses) >= 7
    for address in addresses:
        assert reader.asked(address) is not None


def a_worker_may_write_records_and_nothing_more(reader):
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    rights = [
        f"has_table_privilege('airflow_worker', tablename, '{right}')"
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    ]
    no_limits = f"FROM ({tables} AND tablename <> 'tcbilling_rate_limits') AS ours"
    server = reader.postgres()

    assert server.execute(f"SELECT DISTINCT {', '.join(rights)} {no_limits}", "tcbilling") == [
        (True, True, True, False, False)
    ]
    worker = server.connection("tcbilling", login="airflow_worker", password="...")
    reader.export("AIRFLOW_CONN_TCBILLING_LEDGER", worker)
    assert "as role airflow_worker" in reader.shell("python -m airflow_provider_tcbilling ledger check")


def each_source_has_bought_once(reader):
    placed = [it for it in reader.asked("journal")["entries"] if it["action"] == "CreateInstance"]

    assert Counter((it["principal"], it["outcome"]) for it in placed) == {
        ("100000000001:key", "ok"): 3,
        ("100000000001:role/buyer", "ok"): 2,
        ("100000000002:role/partner", "ok"): 1,
        ("100000000002:role/other-buyer", "ok"): 1,
    }


AFTER = {
    "docs/how-to/choose-a-key-source.md": each_source_has_bought_once,
    "docs/reference/api.md": the_notebook_also_buys_with_a_role,
    "docs/tutorial/quickstart.md": a_lost_answer_was_found,
    "docs/how-to/run-on-a-fleet.md": a_worker_may_write_records_and_nothing_more,
    "docs/how-to/refund.md": the_plan_is_as_shown_and_one_is_refunded,
    "docs/reference/sandbox.md": every_address_of_the_table_answers,
    "docs/how-to/reconcile-a-month.md": the_books_have_one_purchase,
    "docs/how-to/renew.md": the_first_is_renewed_and_what_renews_itself_is_not,
}


@pytest.mark.system
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)])
def test_a_page_does_what_it_says(page, reader):
    BEFORE.get(page, lambda reader: None)(reader)

    for block in blocks_of(page):
        reader.read(block)
    reader.finish()

    AFTER.get(page, lambda reader: None)(reader)


def test_each_mark_is_needed():
    """A mark that matches nothing any more says something about a page that is not true."""
    blocks = [block for page in PAGES for block in blocks_of(page)]
    commands = [command for block in blocks if block.kind == "console" for command, _ in block.commands()]
    texts = [*commands, *(block.text for block in blocks)]

    assert set(NOT_RUN) - set(map(mark, texts)) == set()
    assert [start for start in OUTPUTS if not any(text.startswith(start) for text in texts)] == []


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
        pytest.param("sql", "CREATE TABEL purchases ();", id="SQL that fails"),
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
