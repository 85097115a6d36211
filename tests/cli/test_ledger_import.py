"""Import: each record of a folder is taken once, and what cannot be taken is counted, named and left."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from tests.api.test_text import steers
from tests.support.shop import KEY, Shop

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

TAKEN = "2 taken\n"


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite."""
    return in_sqlite


@pytest.fixture
def folder(sandbox, tmp_path, passing_time):
    """The same shop when it had its ledger in a folder: one purchase is ordered, one is open."""
    before = Shop(sandbox, tmp_path / "folder", passing_time)
    before.ordered()
    before.lost("second")
    return before


@pytest.fixture
def take(run, folder):
    """Import the folder; return the exit code, the answer, and what was left by its fate."""

    def take():
        code, out, _ = run("ledger", "import", folder.folder.as_uri())
        return code, out

    return take


def records(shop):
    return {stored["key"]: stored for _, stored in shop.ledger.all()}


def left(run, folder, fate):
    """Import once more, and return what was left for a reason: its name, and why."""
    code, out, _ = run("ledger", "import", folder.folder.as_uri(), "--json")
    assert code == 1
    (one,) = json.loads(out)[fate]
    return one["object"], one["why"]


def test_a_folder_that_is_not_there_takes_nothing(shop, run, tmp_path):
    code, out, err = run("ledger", "import", (tmp_path / "nowhere").as_uri())

    assert (code, out, shop.files()["purchases"]) == (1, "", [])
    assert "Is it mounted here?" in err


@pytest.mark.parametrize("address", ["nowhere", "file://relative", "s3://", "nosuch://bucket/x", "", "."])
def test_an_address_that_is_none_takes_nothing(shop, run, address):
    code, out, err = run("ledger", "import", address)

    assert (code, out, err.count("Traceback")) == (1, "", 0)
    assert err


def test_an_empty_folder_may_be_a_wrong_address(shop, run):
    code, out, err = run("ledger", "import", shop.folder.as_uri())

    assert (code, out) == (1, "")
    assert "There is nothing in" in err


def test_a_record_whose_order_is_anothers_is_named_and_left(shop, folder, take, run):
    stolen = {**folder.ledger.read(KEY), "key": "thief"}
    assert take()[0] == 0
    folder.ledger.create("thief", stolen)

    code, out = take()

    assert (code, "1 left: its order belongs to another purchase of the ledger\n" in out) == (1, True)
    assert f"order {folder.orders[0]}".lower() in out.lower()
    assert records(shop).keys() == {KEY, "second"}
    assert left(run, folder, "owned")[0] == folder.path("thief").name


def test_a_record_that_the_ledger_has_otherwise_stays_there(shop, folder, take, run):
    take()
    shop.edit("second", state="declined")
    folder.edit("second", changed_at="2999-01-01T00:00:00Z")

    code, out = take()

    assert (code, records(shop)["second"]["state"]) == (1, "declined")
    assert "1 in the ledger already\n" in out
    assert left(run, folder, "differs")[1] == "intended here, declined there; the folder has the later one"
    folder.edit("second", changed_at="2020-01-01T00:00:00Z")
    assert left(run, folder, "differs")[1] == "intended here, declined there; the ledger has the later one"


DAMAGE = {
    "damaged": lambda folder: folder.path("third").write_text("{half of"),
    "newer": lambda folder: folder.edit("third", version=3),
    "misplaced": lambda folder: folder.path("third").rename(folder.path("fourth")),
}


@pytest.mark.parametrize("fate", DAMAGE)
def test_an_object_that_cannot_be_used_is_named_and_left(shop, folder, take, run, fate):
    folder.ordered("third")
    DAMAGE[fate](folder)

    code, out = take()

    assert (code, out.splitlines()[0]) == (1, "2 taken")
    assert "Something was left that may be a purchase" in out
    assert records(shop).keys() == {KEY, "second"}
    assert left(run, folder, fate)[0].endswith(".json")


def test_foreign_objects_are_named_and_are_no_purchases(shop, folder, take):
    (folder.folder / "package.json").write_text('{"name": "x"}')
    (folder.folder / "notes\x1b[2J.txt").write_text("hello")
    (folder.folder / "other.json").write_text('{"format": "another"}')
    (folder.folder / "half.draft").write_text("")

    code, out = take()

    assert (code, "3 left: it is no record\n" in out) == (0, True)
    assert "  package.json\n" in out
    assert [c for c in steers(out) if c != "\n"] == []


def test_a_long_list_of_objects_is_cut(shop, folder, take):
    for number in range(30):
        (folder.folder / f"{number}.txt").touch()

    assert "  and 10 more\n" in take()[1]


def test_an_import_is_repeated_without_effect(shop, folder, take):
    identity = shop.ledger.identity

    assert take() == (0, f"2 taken\n{shop.ledger.address} has every purchase of the folder.\n")
    before = shop.files()
    assert take() == (0, f"2 in the ledger already\n{shop.ledger.address} has every purchase of the folder.\n")

    assert shop.files() == before
    assert (shop.ledger.identity, shop.ledger.complete_since) == (identity, identity.created_at + CLOCK_MARGIN)
    assert records(shop) == {stored["key"]: stored for _, stored in ObjectStore(folder.folder.as_uri()).all()}


def test_a_purchase_goes_on_where_the_folder_left_it(shop, folder, take):
    order = folder.ordered().order_id
    take()

    assert shop.ordered().order_id == order
    assert shop.sandbox.requests["CreateInstance"] == 2


def test_a_purchase_that_was_pruned_does_not_come_back(shop, folder, take, run):
    purchase = folder.purchase()
    purchase.note_delivery(purchase.place())
    take()
    shop.clock.sleep(86_400)
    run("ledger", "prune", "--before", "2999-01-01", "--force", "--yes")

    assert take()[0] == 0
    assert records(shop).keys() == {"second"}


class TestOnPostgreSQL:
    @pytest.fixture
    def shop(self, in_postgres):
        return in_postgres

    def test_an_import_is_repeated_without_effect(self, shop, folder, take):
        test_an_import_is_repeated_without_effect(shop, folder, take)
