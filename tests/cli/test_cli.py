"""The command line explains a purchase, shows the next step, and never spends."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.task.next_steps import COMMAND
from tests.support.cli_output import HAS_TASK_STATE, explained
from tests.support.shop import (
    KEY,
    TASK,
)

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


@pytest.mark.parametrize("text", ["{half of", '{"format": "another"}'])
def test_a_damaged_record_is_told_and_not_touched(shop, run, text):
    shop.ordered()
    shop.path().write_text(text)

    explanation = explained(run)

    assert explanation["state"] == "a record that cannot be used"
    assert f"{COMMAND} settle --restore FILE" in explanation["next_step"]
    assert run("list")[1].splitlines()[1].startswith("unusable")
    assert shop.path().name in run("explain", "--token", "some-token")[1]


def test_a_newer_record_asks_for_an_update_and_is_never_overwritten(shop, run, tmp_path):
    shop.ordered()
    saved = shop.saved(tmp_path)
    shop.edit(version=3)

    assert "Update airflow-provider-tcbilling" in explained(run)["next_step"]
    code, _, err = run("settle", "--restore", saved, "--force")
    assert (code, "Update" in err) == (1, True)


def test_a_record_under_the_name_of_another_is_not_believed(shop, run):
    shop.ordered("another one")
    shop.path("another one").rename(shop.path())

    assert "another one" in explained(run)["unusable"]


ALL = [("explain", "--key", KEY), ("explain", "--token", "t"), ("settle", "--key", KEY, "--not-bought"), ("list",)]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_ledger_that_is_not_mounted_is_not_an_empty_one(shop, run, command):
    shop.folder.rmdir()

    code, out, err = run(*command)

    assert (code, out) == (1, "")
    assert "Is it mounted here?" in err


def test_without_a_ledger_a_key_finds_nothing_and_an_order_still_does(shop, connect, run):
    order = shop.ordered()
    connect(host=shop.sandbox.url)

    assert "names no ledger" in run("explain", "--key", KEY)[2]
    assert "names no ledger" in run("list")[2]
    assert explained(run, "--order-id", order.order_id)["finding"] == "delivered"


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_connection_that_cannot_be_used_is_told_in_words(connect, run, command):
    assert "nowhere" in run(*command, "--conn-id", "nowhere")[2]
    connect(host="ftp://x")

    code, out, err = run(*command)

    assert (code, out) == (1, "")
    assert "https" in err


@pytest.mark.skipif(HAS_TASK_STATE, reason="this line of Airflow has a task state store")
def test_without_a_ledger_and_a_task_state_store_nothing_is_remembered(shop, connect, run):
    connect(host=shop.sandbox.url)

    assert "No record is kept" in run("explain", *TASK)[2]


def test_the_list_has_one_line_for_each_purchase(shop, run):
    shop.ordered("one")
    shop.lost("two")
    shop.declined("three")

    code, out, _ = run("list")

    assert (code, out.splitlines()[4].partition(" ")[0]) == (0, "3")
    rows = {line.split()[-1]: line.split()[0] for line in out.splitlines()[1:4]}
    assert rows == {"one": "ordered", "two": "intended", "three": "declined"}
    (row,) = json.loads(run("list", "--state", "ordered", "--json")[1])
    assert (row["key"], row["order_id"]) == ("one", shop.orders[0])
