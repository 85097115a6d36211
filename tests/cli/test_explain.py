"""Explain finds a purchase by every name, and has a next step for each state and finding."""

from __future__ import annotations

import shlex

import pytest

from airflow_provider_tcbilling.cli.explain import STEPS, Finding
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.task.dag_run import task_run_key
from airflow_provider_tcbilling.task.failure_message import WORDS, TaskEnd
from airflow_provider_tcbilling.task.next_steps import COMMAND, command_line
from tests.conftest import PRICE
from tests.support.cli_output import explained
from tests.support.shop import (
    KEY,
    NOT_LISTED,
    TASK,
    an_open_purchase_that_looks_the_same,
    an_order_with_status,
    at_another_endpoint,
    delivered,
    forgotten,
    lost_and_no_book,
    nothing_arrived,
    paid_twice,
    refused_after_a_lost_try,
    said_to_be_paid,
    settled_by_mistake,
    two_orders_match,
)

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


CASES = [
    ("intended", Finding.UNDER_WAY, lambda shop: shop.lost(after=1)),
    ("intended", Finding.ONE, lambda shop: shop.lost()),
    ("intended", Finding.UNCLEAR, an_open_purchase_that_looks_the_same),
    ("intended", Finding.UNCLEAR, two_orders_match),
    ("intended", Finding.SEND, lambda shop: shop.lost(carried_out=False)),
    ("intended", Finding.NONE, nothing_arrived),
    ("charged", Finding.SAID_PAID, said_to_be_paid),
    ("refused", Finding.REFUSED, refused_after_a_lost_try),
    ("ordered", Finding.TWIN, paid_twice),
    ("ordered", Finding.TWIN_LATER, lambda shop: paid_twice(shop, is_known=False)),
    ("intended", Finding.UNREADABLE, lost_and_no_book),
    ("intended", Finding.ELSEWHERE, at_another_endpoint),
    ("ordered", Finding.OPEN, lambda shop: an_order_with_status(shop, 3)),
    ("ordered", Finding.DELIVERED, lambda shop: shop.ordered()),
    ("ordered", Finding.DEAD, lambda shop: an_order_with_status(shop, 5)),
    ("ordered", Finding.UNLISTED, forgotten),
    ("ordered", Finding.UNREADABLE, lambda shop: (shop.ordered(), shop.closed_book())),
    ("delivered", Finding.DELIVERED, delivered),
    ("declined", Finding.NONE, lambda shop: shop.declined()),
    ("declined", Finding.ONE, settled_by_mistake),
    ("declined", Finding.UNCLEAR, lambda shop: (two_orders_match(shop), shop.edit(state="declined"))),
    ("declined", Finding.UNREADABLE, lambda shop: (shop.declined(), shop.closed_book())),
]


@pytest.mark.parametrize(("state", "finding", "prepare"), CASES, ids=[f"{s}-{f.name}" for s, f, _ in CASES])
def test_each_state_and_finding_has_its_next_step(shop, run, state, finding, prepare):
    prepare(shop)

    explanation = explained(run)

    assert (explanation["state"], explanation["finding"]) == (state, finding.name.lower())
    assert explanation["next_step"].startswith(STEPS[state, finding].partition("{")[0])
    assert explanation["record"] == shop.ledger.read(KEY)
    code, out, _ = run("explain", "--key", KEY)
    assert (code, out.partition(",")[0]) == (0, f"Purchase {KEY}")
    assert f"Our record says: {state}" in out
    assert f"The order book says: {finding.value}" in out


@pytest.mark.parametrize(("state", "finding"), STEPS, ids=lambda value: str(getattr(value, "name", value)))
def test_every_next_step_knows_its_words(state, finding):
    facts = dict.fromkeys(("console", "settle", "restore", "replay", "decidable"), "x")

    assert "{" not in STEPS[state, finding].format_map(facts)


@pytest.mark.parametrize("carried_out", [True, False])
def test_the_next_step_of_explain_is_that_of_a_clear(shop, run, carried_out):
    shop.lost(carried_out=carried_out)

    explanation = explained(run)

    assert ("it adopts this order" if carried_out else "sends the same client token") in explanation["next_step"]
    assert not carried_out or shop.orders[0] in explanation["order_book"][1]
    assert shop.purchase().place().order_id == shop.orders[0]
    assert len(shop.orders) == 1


@pytest.mark.parametrize("prepare", [two_orders_match, nothing_arrived])
def test_where_a_clear_stops_again_the_commands_that_settle_are_told(shop, run, prepare):
    prepare(shop)

    next_step = explained(run)["next_step"]

    assert "the task stops again" in next_step
    with pytest.raises(PurchaseOutcomeUnknown):
        shop.purchase().place()
    (settles,) = [line for line in next_step.splitlines() if "--not-bought" in line and COMMAND in line]
    arguments = settles.split(COMMAND)[1]
    assert run("settle", "--key", KEY, "--not-bought")[0] == (1 if "--force" in arguments else 0)
    assert run(*shlex.split(arguments))[0] == 0
    assert shop.record().state.value == "declined"


def test_a_stopped_task_names_the_commands(shop, run):
    two_orders_match(shop)
    with pytest.raises(PurchaseOutcomeUnknown) as stopped:
        shop.purchase().place()
    named = shop.ledger.options(KEY)
    commands = {verb: command_line(verb, named, "tcbilling_default") for verb in ("explain", "settle")}
    end = TaskEnd("tcbilling_default", words=WORDS["CreateInstance"], in_doubt=True, **commands)

    commands_shown = [shlex.split(line.partition(COMMAND)[2]) for line in end.report(stopped.value) if COMMAND in line]

    assert [command[0] for command in commands_shown] == ["settle", "settle", "explain"]
    assert run(*commands_shown[2])[0] == 0
    assert run(*[shop.orders[0] if word == "NUMBER" else word for word in commands_shown[0]])[0] == 0
    assert shop.purchase().place().order_id == shop.orders[0]


def test_an_order_that_another_record_owns_does_not_count(shop, run):
    shop.ordered("another one")
    shop.lost(carried_out=False)

    assert explained(run)["finding"] == "send"


def test_the_purchase_that_may_own_the_order_is_named(shop, run):
    an_open_purchase_that_looks_the_same(shop)

    assert "another one" in explained(run)["order_book"][1]


def test_a_purchase_is_found_by_its_key_its_token_its_order_and_its_task(shop, run):
    order = shop.ordered()
    big_deal = shop.sandbox.account.orders()[0].big_deal_id
    orders = [("--order-id", number) for number in (order.order_id, big_deal)]

    explanations = [explained(run, *way) for way in [("--key", KEY), ("--token", order.client_token), *orders, TASK]]

    assert {(one["key"], one["record"]["order_id"]) for one in explanations} == {(KEY, order.order_id)}


def test_a_task_without_a_purchase_key_is_found_by_its_derived_key(shop, run):
    key = task_run_key("shop", "manual__1", "buy", 2)
    shop.ordered(key, placed_by={})

    assert explained(run, *TASK, "--map-index", "2")["key"] == key
    assert run("explain", *TASK)[0] == 1


def test_several_purchases_of_one_task_must_be_told_apart(shop, run):
    shop.ordered("one")
    shop.ordered("two")

    code, _, err = run("explain", *TASK)

    assert code == 1
    assert "  one\n  two" in err


def test_without_a_record_the_derived_token_is_told(shop, run):
    shop.ordered("another one")

    code, out, _ = run("explain", "--key", KEY)

    assert code == 1
    assert "Our record says: no record" in out
    assert client_token_for(KEY) in out


def test_an_order_without_a_record_is_still_looked_at(shop, run):
    order = shop.somebody_elses()
    shop.ordered()

    explanation = explained(run, "--order-id", order.order_id)

    assert (explanation["state"], explanation["finding"]) == ("no record", "delivered")
    assert f"{PRICE / 100:.2f} USD" in explanation["order_book"][1]
    assert run("explain", "--order-id", NOT_LISTED)[0] == 1


WRONG = [
    ("explain",),
    ("explain", "--key", KEY, "--token", "t"),
    ("explain", "--key", KEY, *TASK),
    ("explain", *TASK[:4]),
    ("settle", "--key", KEY),
    ("settle", "--not-bought"),
    ("settle", "--key", KEY, "--not-bought", "--order-id", "1"),
    ("settle", "--key", KEY, "--restore", __file__),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_makes_no_sense_is_wrong_usage(run, arguments):
    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"{arguments[0]}: ")
