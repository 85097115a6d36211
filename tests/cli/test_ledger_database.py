"""The commands of a ledger in a database: its tables, its self-test, one purchase of it, and its pruning."""

from __future__ import annotations

import json
import socket

import pytest

from airflow_provider_tcbilling.cli.command import WRONG_USAGE
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.key import client_token_for
from tests.api.test_text import steers
from tests.support.databases import PASSWORD
from tests.support.shop import KEY, NOT_LISTED, TASK, Shop

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

YEAR = 366 * 86_400
COMMANDS = (
    ("upgrade",),
    ("upgrade", "--sql"),
    ("check",),
    ("import", "file:///nowhere"),
    ("list",),
    ("show", "--key", KEY),
    ("prune", "--before", "2020-01-01"),
)


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite."""
    return in_sqlite


def checked(run):
    """Return the exit code of the self-test, and the result and the text of each test."""
    code, out, _ = run("ledger", "check", "--json")
    return code, {check["name"]: (check["result"], check["about"]) for check in json.loads(out)["checks"]}


def failed(checks):
    return {name: about for name, (result, about) in checks.items() if result == "FAILED"}


# A ledger that cannot be used


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_connection_of_another_type_is_named_in_one_line(shop, run, command):
    shop.use(conn_type="http", host="127.0.0.1")

    code, out, err = run("ledger", *command)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "ledger is a connection of type http" in err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_connection_that_is_missing_is_named_in_one_line(shop, run, command, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_LEDGER")

    code, out, err = run("ledger", *command)

    assert (code, out) == (1, "")
    assert "There is no connection ledger" in err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_two_ledgers_are_refused(shop, connect, run, command):
    connect(host=shop.sandbox.url, extra={"ledger_conn_id": "ledger", "ledger_uri": "file:///mnt/ledger"})

    code, out, err = run("ledger", *command)

    assert (code, out) == (1, "")
    assert "leave one out" in err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_ledger_every_command_says_so(shop, connect, run, command):
    connect(host=shop.sandbox.url)

    code, out, err = run("ledger", *command)

    assert (code, out) == (1, "")
    assert "names no ledger: give it ledger_conn_id or ledger_uri" in err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] not in ("check", "list", "show")], ids=" ".join)
def test_a_folder_is_neither_upgraded_nor_imported_into_nor_pruned(shop, connect, run, command):
    connect(host=shop.sandbox.url, extra={"ledger_uri": shop.folder.as_uri()})

    code, out, err = run("ledger", *command)

    assert (code, out) == (1, "")
    assert f"keeps its ledger in {shop.folder.as_uri()}, and only a ledger in a database" in err


@pytest.mark.parametrize(
    "command", [("upgrade",), ("import", "FOLDER"), ("list",), ("show", "--key", KEY)], ids=lambda command: command[0]
)
def test_a_schema_of_a_newer_release_asks_for_an_update(shop, run, command):
    shop.ordered()
    shop.execute("UPDATE tcbilling_alembic_version SET version_num = '9999'")

    code, out, err = run("ledger", *(shop.folder.as_uri() if part == "FOLDER" else part for part in command))

    assert (code, out) == (1, "")
    assert "Update airflow-provider-tcbilling" in err or "There is nothing in" in err


def test_the_self_test_of_a_newer_schema_ends_there(shop, run):
    shop.execute("UPDATE tcbilling_alembic_version SET version_num = '9999'")

    code, checks = checked(run)

    assert code == 1
    assert [*failed(checks)] == ["schema"]
    assert checks["reachable"][0] == "ok"
    assert checks["rate limit"] == ("skipped", "since schema failed")


def test_a_file_that_cannot_be_opened_is_named(shop, run, tmp_path):
    shop.use(conn_type="sqlite", host=str(tmp_path / "nowhere" / "ledger.db"))

    code, out, _ = run("ledger", "check")

    assert code == 1
    assert out.startswith("FAILED   reachable")
    assert out.splitlines()[-1].endswith("fails 11 of 11 tests.")


# Upgrade


def test_an_upgrade_is_done_once(shop, run, tmp_path):
    shop.use(conn_type="sqlite", host=str(tmp_path / "new.db"))

    first, second = run("ledger", "upgrade"), run("ledger", "upgrade")

    assert first[:2] == (0, f"The ledger sqlite://{tmp_path}/new.db had no tables, and has revision 0002 now.\n")
    assert second[:2] == (0, f"The ledger sqlite://{tmp_path}/new.db has revision 0002 already: nothing was changed.\n")


def test_the_sql_is_printed_alone_and_nothing_is_changed(shop, run, tmp_path):
    shop.use(conn_type="sqlite", host=str(tmp_path / "new.db"))

    code, out, _ = run("ledger", "upgrade", "--sql")

    assert code == 0
    assert out.startswith("CREATE TABLE tcbilling_alembic_version")
    assert shop.rows("SELECT name FROM sqlite_master") == []


def test_the_metadata_database_of_airflow_is_warned_of(shop, run):
    shop.execute("CREATE TABLE dag_run (id INTEGER)")

    assert "Warning: this is the metadata database of Airflow" in run("ledger", "upgrade")[1]
    code, checks = checked(run)
    assert (code, checks["apart from Airflow"][0]) == (0, "warning")


# Check


def test_a_sound_ledger_has_every_property(shop, run):
    shop.ordered()
    before = shop.files()

    code, out, _ = run("ledger", "check")

    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[:-1]} == {"ok"}
    assert out.splitlines()[-1].endswith("has all 11 properties.")
    identity = shop.ledger.identity.id
    assert f"{identity}, created at 20" in out
    assert shop.rows("SELECT * FROM tcbilling_rate_limits") == []
    assert shop.files() == before


def test_an_event_that_was_edited_is_named(shop, run):
    shop.ordered()
    shop.execute("UPDATE tcbilling_events SET cents = 1 WHERE seq = 2")

    code, checks = checked(run)

    assert (code, [*failed(checks)]) == (1, ["events"])
    assert "event 2" in checks["events"][1]


NOT_EXCLUSIVE = (
    "DROP TABLE tcbilling_rate_limits",
    "CREATE TABLE tcbilling_rate_limits (name TEXT, next_at FLOAT, rate FLOAT, refused_at FLOAT, changed_at FLOAT)",
)
NOT_CONDITIONAL = (
    "CREATE TRIGGER forgetful AFTER UPDATE ON tcbilling_rate_limits BEGIN "
    "UPDATE tcbilling_rate_limits SET changed_at = 0; END",
)
NO_RATE = (
    "CREATE TRIGGER slow AFTER INSERT ON tcbilling_rate_limits BEGIN UPDATE tcbilling_rate_limits SET rate = 7; END",
)


@pytest.mark.parametrize(
    ("damage", "name", "about"),
    [
        (NOT_EXCLUSIVE, "creates exclusively", "of 2 creations at the same moment 2 succeeded, instead of one"),
        (NOT_CONDITIONAL, "replaces conditionally", "of 2 replacements at the same moment 2 succeeded, instead of one"),
        (NO_RATE, "rate limit", "the rate of a new row is 7.0, instead of 1.0"),
    ],
    ids=["exclusive", "conditional", "rate limit"],
)
def test_a_database_that_breaks_a_rule_does_not_pass(shop, run, damage, name, about):
    for statement in damage:
        shop.execute(statement)

    code, checks = checked(run)

    assert (code, failed(checks)) == (1, {name: about})


class TestOnAFolder:
    @pytest.fixture
    def shop(self, sandbox, connect, tmp_path, passing_time):
        shop = Shop(sandbox, tmp_path / "ledger", passing_time)
        connect(host=sandbox.url, extra={"ledger_uri": shop.folder.as_uri()})
        return shop

    def test_a_folder_has_the_properties_that_it_can_have(self, shop, run):
        shop.ordered()

        code, checks = checked(run)

        assert code == 0
        assert [*checks] == ["reachable", "creates exclusively", "replaces conditionally", "identity"]
        assert checks["replaces conditionally"][0] == "warning"
        assert (len([*shop.ledger.all()]), list(shop.folder.glob("*.canary"))) == (1, [])

    def test_a_folder_that_is_not_mounted_fails_and_the_rest_is_skipped(self, shop, run):
        shop.folder.rmdir()

        code, checks = checked(run)

        assert (code, [*failed(checks)]) == (1, ["reachable"])
        assert "Is it mounted here?" in checks["reachable"][1]
        assert checks["identity"][0] == "skipped"

    def test_a_storage_that_lets_two_create_fails(self, shop, run, monkeypatch):
        monkeypatch.setattr(ObjectStore, "creates_exclusively", False)

        code, checks = checked(run)

        assert (code, [*failed(checks)]) == (1, ["creates exclusively"])

    def test_a_class_of_a_deployment_has_no_tests_here(self, shop, run, monkeypatch):
        monkeypatch.setenv("AIRFLOW__TCBILLING__LEDGER_CLASS", "airflow_provider_tcbilling.ledger.memory.MemoryStore")

        code, out, err = run("ledger", "check")

        assert (code, out) == (1, "")
        assert "MemoryStore, which has no tests here" in err


# Show, and finding


def test_one_purchase_is_shown_with_its_events(shop, run):
    purchase = shop.purchase()
    purchase.note_delivery(purchase.place())
    order = shop.orders[0]

    for name in (("--key", KEY), ("--order-id", order), ("--token", client_token_for(KEY)), TASK):
        code, out, _ = run("ledger", "show", *name)
        assert code == 0
        assert f"  order id      {order}\n" in out
        assert "  state         delivered\n" in out
        assert "Events:\n" in out
    (shown,) = [json.loads(run("ledger", "show", "--key", KEY, "--json")[1])]
    assert [event["event"] for event in shown["events"]] == ["intended", "placed", "delivered"]
    assert shown["record"]["order_id"] == shown["events"][1]["order_id"] == order
    assert {event["by"] for event in shown["events"]} == {shown["record"]["owner"]}


def test_a_purchase_that_is_not_there_is_not_shown(shop, run):
    code, out, _ = run("ledger", "show", "--key", "nothing")

    assert code == 1
    assert "There is no record of it." in out
    assert run("ledger", "show", "--order-id", NOT_LISTED)[0] == 1
    assert run("ledger", "show", "--key", KEY, "--token", "t")[0] == WRONG_USAGE


def test_a_record_steers_no_terminal_when_it_is_shown(shop, run):
    shop.ordered()
    shop.edit(reason="\x1b[2J\u202e\nEvents:\n  forged", currency="\x9b31m", paid_cents=1)

    out = run("ledger", "show", "--key", KEY)[1]

    assert [c for c in steers(out) if c != "\n"] == []
    assert out.count("\nEvents:\n") == 1


def test_a_purchase_is_found_without_reading_all_of_them(shop, run, monkeypatch):
    shop.ordered()
    monkeypatch.setattr(DatabaseStore, "_list", lambda store: 1 / 0)

    for name in (("--order-id", shop.orders[0]), ("--token", client_token_for(KEY)), TASK, ("--key", KEY)):
        assert run("explain", *name)[0] == 0
    assert "is not known" not in run("explain", "--key", "nothing")[2]


def test_a_later_token_and_a_record_that_cannot_be_read_are_found_too(shop, run):
    shop.declined()
    shop.ordered()
    later = shop.record().client_token
    shop.damaged("broken")

    assert later != client_token_for(KEY)
    code, out, _ = run("explain", "--token", later)
    assert (code, f"order id      {shop.orders[0]}" in out) == (0, True)
    assert "cannot be used, and may be it" in run("explain", "--order-id", shop.orders[0])[1]


# Prune


def delivered(shop, key=KEY, cents=100):
    purchase = shop.purchase(key)
    purchase.note_delivery(purchase.place())
    shop.edit(key, paid_cents=cents, currency="USD")


@pytest.fixture
def old(shop):
    """Two purchases that were delivered more than a year ago, and one that was not."""
    delivered(shop)
    delivered(shop, "second", cents=50)
    shop.ordered("open")
    shop.clock.sleep(YEAR)
    return shop


def test_a_date_that_the_order_book_still_remembers_is_refused(old, run):
    before = old.files()

    code, out, err = run("ledger", "prune", "--before", "2999-01-01", "--yes")

    assert (code, out, old.files()) == (1, "", before)
    assert "less than 90 days back" in err
    assert "add --force" in err


def test_nothing_old_is_nothing_to_prune(old, run):
    code, out, _ = run("ledger", "prune", "--before", "2020-01-01", "--yes")

    assert (code, out.count("\n")) == (0, 1)
    assert "has no record of a purchase that was delivered before 2020-01-01" in out


def test_without_yes_the_purchases_are_counted_and_stay(old, run):
    before = old.files()

    code, out, _ = run("ledger", "prune", "--before", "2999-01-01", "--force")

    assert (code, old.files()) == (0, before)
    assert (
        "has 2 records of purchases that were delivered before 2999-01-01T00:00:00Z, for which was paid: 1.50 USD"
        in out
    )
    assert "Nothing was removed. Add --yes" in out


def test_what_was_pruned_stays_owned_counted_and_unrepeatable(old, run):
    sent = old.sandbox.requests["CreateInstance"]
    later = "2027-12-31"

    code, out, _ = run("ledger", "prune", "--before", later, "--force", "--yes")

    assert (code, out.splitlines()[-1].split()[0]) == (0, "2")
    assert [row["key"] for row in json.loads(run("list", "--json")[1])] == ["open"]
    assert [total["cents"] for total in old.ledger.totals()] == [150]
    assert len(old.rows("SELECT order_id FROM tcbilling_orders")) == 3
    assert checked(run)[0] == 0
    with pytest.raises(InvalidRecord, match="it was pruned, and its order is"):
        old.ordered()
    assert old.sandbox.requests["CreateInstance"] == sent
    assert "it was pruned, and its order is" in run("ledger", "show", "--key", KEY)[1]


class TestOnPostgreSQL:
    """A server has roles, a clock of its own, and databases without tables."""

    @pytest.fixture
    def shop(self, in_postgres):
        return in_postgres

    def test_a_role_that_may_only_read_lists_and_does_not_pass(self, shop, run, postgres):
        shop.ordered()
        database = shop.connection["schema"]
        role = f"reader_of_{database}"
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        ):
            postgres.execute(statement, database)
        code, checks = checked(run)
        assert (code, [*failed(checks)]) == (1, ["survives a crash"])  # The server of the tests does without.
        assert "SHOW fsync is off" in checks["survives a crash"][1]

        shop.use(**postgres.connection(database, login=role))

        assert run("ledger", "list")[0] == 0
        code, checks = checked(run)
        assert (code, [*failed(checks)]) == (1, ["may write"])
        assert "may not be written by its role" in checks["may write"][1]
        assert checks["identity"] == ("skipped", "since may write failed")

    def test_a_clock_that_is_minutes_off_is_named_with_this_machine(self, shop, run, monkeypatch):
        monkeypatch.setattr(DatabaseStore, "clock_difference", lambda store: -90.0)
        monkeypatch.setattr(DatabaseStore, "now", lambda store: 1_800_000_000.0)

        code, checks = checked(run)

        assert (code, checks["clock"][0]) == (1, "FAILED")
        about = checks["clock"][1]
        assert f"the clock of {shop.ledger.address} says 2027-01-15T08:00:00Z" in about
        assert f"this machine ({socket.gethostname()}) 2027-01-15T08:01:30Z: 90 s apart" in about
        monkeypatch.setattr(DatabaseStore, "clock_difference", lambda store: 59.0)
        assert "clock" not in failed(checked(run)[1])

    def test_a_database_without_tables_gets_them_from_the_sql_that_is_printed(self, shop, run, postgres):
        empty = postgres.new_database()
        shop.use(**postgres.connection(empty))

        code, checks = checked(run)
        assert (code, [*failed(checks)]) == (1, ["schema"])
        assert "ledger upgrade" in checks["schema"][1]

        sql = run("ledger", "upgrade", "--sql")[1]
        assert "ledger upgrade" in run("ledger", "list")[2]
        postgres.execute(sql, empty)
        shop.database.facts.clear()

        assert "has revision 0002 already" in run("ledger", "upgrade")[1]
        assert failed(checked(run)[1]).keys() <= {"survives a crash"}
