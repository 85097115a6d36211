"""Limits, prices and the least balance of a task that buys: what is refused is never sent."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.purchasing.money_errors import AmountUnknown
from tests.conftest import ORDER, PRICE, context_of
from tests.support.crash import dying_at, dying_in
from tests.support.instance_task import operator

PACKAGE = "airflow_provider_tcbilling"
FACTS = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
MONTH = {"name": "fleet", "window": "month", "max_cents": 2 * PRICE, "currency": "USD"}


@pytest.fixture
def money(sandbox, connect, tmp_path, passing_time):
    """Return a function that sets the money fields of the connection, whose ledger is a SQLite file."""
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    connect(conn_id="ledger", **ledger, login=None, password=None)

    def set_to(**fields):
        connect(host=sandbox.url, extra={"ledger_conn_id": "ledger", "order_book_lag": 1, **fields})

    set_to()
    return set_to


def bought(sandbox):
    return len(sandbox.account.orders())


def buy(run_id, **arguments):
    return operator(**arguments).execute(context_of(run_id))


def refusal(run_id, **arguments):
    with pytest.raises(AirflowFailException) as refused:
        buy(run_id, **arguments)
    assert str(refused.value).startswith("Nothing was bought.")
    return str(refused.value)


def test_an_unknown_price_with_a_limit_in_force_buys_nothing(money, sandbox):
    money(spending_limits=[MONTH])

    message = refusal("r1")

    assert "limit 'fleet' is in force, and its price is not known" in message
    assert "Next: Set max_cents" in message
    assert sandbox.requests["CreateInstance"] == 0


def test_of_three_purchases_within_a_limit_for_two_the_third_is_refused_and_says_why(money, sandbox):
    money(spending_limits=[MONTH])
    for number in (1, 2):
        buy(f"r{number}", max_cents=PRICE)

    message = refusal("r3", max_cents=PRICE)

    assert bought(sandbox) == 2
    assert "limit 'fleet' (month) allows 200.00 USD. Settled: 200.00 USD. Reserved: 0.00 USD." in message
    assert "This purchase would need 100.00 USD." in message
    assert [line.count("100.00 USD paid by [") for line in message.splitlines()].count(1) == 2
    assert "The window ends at 20" in message


def test_the_price_of_an_earlier_order_is_remembered_and_needs_no_max_cents(money, sandbox):
    buy("before")
    money(spending_limits=[MONTH])

    buy("r1")

    assert bought(sandbox) == 2
    assert "would need 100.00 USD" in refusal("r2")


def test_a_purchase_of_before_the_limit_counts(money, sandbox):
    buy("r1")
    buy("r2")
    money(spending_limits=[MONTH])

    assert "Settled: 200.00 USD" in refusal("r3", max_cents=PRICE)
    assert bought(sandbox) == 2


def test_vouchers_are_part_of_the_price(money, sandbox):
    sandbox.account.voucher_cents = 10 * PRICE
    buy("before")
    money(spending_limits=[{**MONTH, "max_cents": PRICE}])

    assert "Settled: 100.00 USD" in refusal("r1")


@pytest.mark.parametrize("window", ["order", "run", "day"])
def test_each_window_refuses_what_is_above_it(money, sandbox, window):
    money(spending_limits=[{**MONTH, "window": window, "max_cents": PRICE}])
    buy("r1", max_cents=PRICE)

    assert f"({window})" in refusal("r2" if window == "day" else "r1", max_cents=PRICE + 1, purchase_key="another")
    assert bought(sandbox) == 1


def test_another_run_has_a_window_of_its_own(money, sandbox):
    money(spending_limits=[{**MONTH, "window": "run", "max_cents": PRICE}])
    buy("r1", max_cents=PRICE)
    buy("r2", max_cents=PRICE)

    assert "limit 'fleet' (run)" in refusal("r2", max_cents=PRICE, purchase_key="more")
    assert bought(sandbox) == 2


@pytest.mark.parametrize("narrow", [{"product": "p_other"}, {"dag": "another"}])
def test_a_limit_of_something_else_counts_nothing(money, sandbox, narrow):
    money(spending_limits=[{**MONTH, "max_cents": 1, **narrow}])

    buy("r1", max_cents=PRICE)

    assert bought(sandbox) == 1


@pytest.mark.parametrize("narrow", [{"product": "p_cloudfirewall"}, {"product": "P_CloudFirewall"}, {"dag": "shop"}])
def test_a_limit_of_this_product_or_dag_counts_it(money, sandbox, narrow):
    money(spending_limits=[{**MONTH, "max_cents": 1, **narrow}])

    refusal("r1", max_cents=PRICE)

    assert bought(sandbox) == 0


def test_a_retry_returns_its_order_although_the_limit_is_reached(money, sandbox):
    money(spending_limits=[{**MONTH, "max_cents": PRICE}])
    first = buy("r1", max_cents=PRICE)

    again = operator(max_cents=PRICE).execute(context_of("r1", try_number=2))

    assert again["order_id"] == first["order_id"]
    assert bought(sandbox) == 1


def test_what_was_refused_by_the_server_gives_its_room_back(money, sandbox):
    money(spending_limits=[{**MONTH, "max_cents": PRICE}])
    sandbox.faults.add(
        {"fault": "error", "code": "FailedOperation.NumLimitError", "when": "before", "action": "CreateInstance"}
    )
    with pytest.raises(AirflowFailException):
        buy("r1", max_cents=PRICE)

    buy("r2", max_cents=PRICE)

    assert bought(sandbox) == 1


@pytest.mark.parametrize(
    ("death", "orders"),
    [
        pytest.param(lambda: dying_at("intent stored"), 0, id="between the reservation and the request"),
        pytest.param(lambda: dying_in(f"{PACKAGE}.api.models.Order.from_wire"), 1, id="answered, not understood"),
        pytest.param(lambda: dying_at("order known"), 1, id="understood, not recorded"),
        pytest.param(lambda: dying_at("order stored"), 1, id="recorded, the price not known"),
    ],
)
def test_a_death_keeps_the_reservation_and_the_next_try_settles_it(money, sandbox, death, orders):
    money(spending_limits=[{**MONTH, "max_cents": PRICE}])
    with death():
        buy("r1", max_cents=PRICE)
    assert bought(sandbox) == orders

    assert "Settled: 0.00 USD. Reserved: 100.00 USD" in refusal("r2", max_cents=PRICE)
    buy("r1", max_cents=PRICE)
    assert "Settled: 100.00 USD. Reserved: 0.00 USD" in refusal("r2", max_cents=PRICE)
    assert bought(sandbox) == 1


def test_a_remembered_price_above_max_cents_is_refused_before_anything_is_sent(money, sandbox):
    buy("r1")

    message = refusal("r2", max_cents=PRICE - 1, currency="USD")

    assert "the same has cost 100.00 USD, and max_cents allows 99.99 USD" in message
    assert bought(sandbox) == 1


def test_an_overrun_blocks_the_price_until_a_user_accepts_it(money, sandbox, caplog, run_command):
    buy("r1", max_cents=PRICE - 1, currency="USD")
    assert "cost 100.00 USD, and 99.99 USD was reserved for it" in caplog.text

    message = refusal("r2", max_cents=5 * PRICE, currency="USD")
    command = next(line.strip() for line in message.splitlines() if "--accept-price" in line)
    code, out, _ = run_command(*command.split()[3:])
    buy("r2", max_cents=5 * PRICE, currency="USD")

    assert code == 0
    assert out.startswith("Accepted: up to 100.00 USD")
    assert bought(sandbox) == 2


def test_another_currency_than_that_of_the_limit_is_refused(money, sandbox):
    buy("r1")
    money(spending_limits=[{**MONTH, "currency": "CNY"}])

    assert "is in CNY" in refusal("r2", max_cents=PRICE) or "CNY" in refusal("r2", max_cents=PRICE)
    assert bought(sandbox) == 1


def test_max_cents_without_any_currency_is_a_mistake(money, sandbox):
    assert "currency is missing" in refusal("r1", max_cents=PRICE)
    assert bought(sandbox) == 0


def test_the_least_balance_stays(money, sandbox):
    money(min_balance_cents=sandbox.account.balance_cents - PRICE)
    buy("r1", max_cents=PRICE, currency="USD")

    message = refusal("r2", max_cents=PRICE, currency="USD")

    assert "Top up the account" in message
    assert bought(sandbox) == 1


def test_a_refund_gives_no_room_back_and_needs_no_room(money, sandbox):
    money(spending_limits=[{**MONTH, "max_cents": PRICE}])
    order = buy("r1", max_cents=PRICE)
    refund = RefundInstanceOperator(
        task_id="back", instance_id=order["instance_ids"][0], confirm=True, deferrable=False, **FACTS
    )
    refund.execute(context_of("r1", task_id="back"))

    assert "Settled: 100.00 USD" in refusal("r2", max_cents=PRICE)


def test_a_renewal_counts_like_a_purchase(money, sandbox):
    order = buy("r0")
    money(spending_limits=[MONTH])

    def renew(run_id):
        task = RenewInstanceOperator(
            task_id="renew", instance_id=order["instance_ids"][0], deferrable=False, max_cents=PRICE, **FACTS
        )
        return task.execute(context_of(run_id, task_id="renew"))

    renew("r1")
    with pytest.raises(AirflowFailException, match=r"Nothing was renewed\.\nNothing was sent: limit 'fleet'"):
        renew("r2")
    assert sandbox.requests["RenewInstance"] == 1


def test_a_limit_with_a_ledger_that_counts_nothing_sends_nothing(sandbox, connect, tmp_path):
    extra = {"ledger_uri": (tmp_path / "ledger").as_uri(), "spending_limits": json.dumps([MONTH])}
    connect(host=sandbox.url, extra=extra)

    assert "spending_limits needs a ledger in a database" in refusal("r1", max_cents=PRICE)
    assert bought(sandbox) == 0


@pytest.fixture
def run_command(monkeypatch, capsys):
    from airflow_provider_tcbilling.cli import commands

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")

    def run(*arguments):
        capsys.readouterr()
        code = commands.main(list(arguments))
        return code, *capsys.readouterr()

    return run


def test_where_a_limit_counts_an_order_that_is_listed_late_still_gets_its_price(money, sandbox):
    money(spending_limits=[MONTH], order_book_lag=30)
    sandbox.faults.add({"fault": "not-visible", "seconds": 20})

    result = buy("r1", max_cents=PRICE)

    assert (result["paid_cents"], result["currency"]) == (PRICE, "USD")
    buy("r2")
    assert bought(sandbox) == 2


def test_a_purchase_of_an_unknown_price_stops_the_limit_until_the_command_of_the_message_has_settled_it(
    money, sandbox, run_command
):
    operator(wait_for_delivery=False).execute(context_of("r0"))
    money(spending_limits=[MONTH])
    with pytest.raises(AmountUnknown) as refused:
        buy("r1", max_cents=PRICE)

    message = str(refused.value)
    command = next(line.strip() for line in message.splitlines() if "tcbilling reconcile" in line)
    code, out, err = run_command(*command.split()[3:])
    buy("r1", max_cents=PRICE)

    assert code == 0, out + err
    assert bought(sandbox) == 2
