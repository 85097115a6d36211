"""
The message of a failed task: the money, the cause, one next step, the command, the page. The steps are carried out.

Each case makes a task fail, reads its message, does what the message says, and compares what happens with the promise.
"""

from __future__ import annotations

import re
import shlex
import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.cli import commands as cli
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.next_steps import COMMAND, ERROR_STEPS, PAGE
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import ORDER, PRICE, SECRET_KEY, client_to, context_of
from tests.support.facts import ERRORS

pytestmark = [pytest.mark.airflow]

KEY = "edge firewall"
DAY = 86_400
PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
MONEY = re.compile(
    r"Nothing was (bought|renewed|refunded|paid)( by this try)?\."
    r"|Nothing was bought by this task\. Order \d+ stays as it is\."
    r"|Nothing was bought: order \d+ was not paid\."
    r"|(Paid|Perhaps paid, up to)(:| ).*(\d+\.\d\d USD|not known yet).*\."
    r"|Refund placed: order \d+\.|Perhaps refunded: .*"
)


class Night:
    """A sandbox, a ledger, a task that buys, and a user who does what its message says."""

    def __init__(self, start_sandbox, connect, folder, clock, run):
        self.start, self.connect_to, self.folder, self.clock, self.run = start_sandbox, connect, folder, clock, run
        self.arguments = {}
        self.tries = 0
        self.open()

    def open(self, **rules):
        self.sandbox = self.start(**rules)
        self.connect()

    def connect(self, **fields):
        ledger = {} if fields.pop("without_ledger", False) else {"ledger_uri": self.folder.as_uri()}
        self.connect_to(**{"host": self.sandbox.url, "extra": {"order_book_lag": 1, **ledger}, **fields})

    def fault(self, fault="error", **options):
        self.sandbox.faults.add({"fault": fault, "action": "CreateInstance", **options})

    def task(self, **arguments):
        fields = {**ORDER, "purchase_key": KEY, "deferrable": False, **self.arguments, **arguments}
        return CreateInstanceOperator(task_id="buy", **fields)

    def context(self, **run):
        self.tries += 1
        return context_of(try_number=self.tries, **run)

    def fails(self, task=None, kind=(AirflowException, TcBillingError), context=None):
        """Let the task fail and return its message."""
        with pytest.raises(kind) as failed:
            (task or self.task()).execute(context or self.context())
        assert not isinstance(failed.value, TaskDeferred)
        assert failed.value.__cause__ is None
        assert failed.value.__suppress_context__ or failed.value.__context__ is None
        return str(failed.value)

    def clear(self, **arguments):
        return self.task(**arguments).execute(self.context())

    @property
    def orders(self):
        return [order.order_id for order in self.sandbox.account.orders()]

    @property
    def spent(self):
        return self.sandbox.options.balance_cents - self.sandbox.account.balance_cents

    def settle(self, message, decision, number=""):
        """Run the command of the message that makes a decision."""
        (line,) = [line for line in message.splitlines() if "settle" in line and decision in line]
        arguments = shlex.split(line.partition(COMMAND)[2])
        assert self.run([number if word == "NUMBER" else word for word in arguments]) == 0


@pytest.fixture
def night(start_sandbox, connect, tmp_path, passing_time, monkeypatch, capsys):
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    (folder := tmp_path / "ledger").mkdir()
    return Night(start_sandbox, connect, folder, passing_time, cli.main)


def step_of(message):
    """Return the next step, and see that the message has its parts, each once."""
    first, *lines = message.splitlines()
    assert MONEY.fullmatch(first), first
    (number,) = [number for number, line in enumerate(lines) if line.startswith("Next: ")]
    assert number > 0, "no cause"
    end = next((n for n, line in enumerate(lines) if line.startswith("Explain: ")), len(lines) - 1)
    assert lines[-1] == f"Page: {PAGE}"
    assert len(lines) - end in (1, 2)
    assert SECRET_KEY not in message
    assert "Traceback" not in message
    return "\n".join(lines[number:end]).removeprefix("Next: ")


def without_time(step):
    return re.sub(r"\d{4}-\S+Z", "TIME", step)


def explained(night, message, capsys):
    """Run the command that the message names; return what it says is the next step, in one line."""
    (line,) = [line for line in message.splitlines() if line.startswith("Explain: ")]
    capsys.readouterr()
    night.run(shlex.split(line.partition(COMMAND)[2]))
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("[20")]  # Airflow 2 logs on the same stream.
    assert not lines or "No such run" in err or "No record" in err, err
    return " ".join(out.partition("Safe next step:")[2].split())


def connected(cause, **settings):
    """Return a case of a connection with wrong settings, which the user corrects."""

    def case(night):
        night.connect(**settings)
        yield cause
        night.connect()

    return case


def given(cause, **arguments):
    """Return a case of a task with wrong arguments, which the user corrects."""

    def case(night):
        night.arguments = arguments
        yield cause
        night.arguments = {}

    return case


def no_permission(night):
    night.fault(code="UnauthorizedOperation", when="before")
    yield "Grant it QCloudFinanceFullAccess"


def no_money(night):
    night.sandbox.account.balance_cents = PRICE - 1
    yield "The account's balance is too low"
    night.sandbox.account.balance_cents = night.sandbox.options.balance_cents


def too_many_requests(night):
    night.fault(code="RequestLimitExceeded", when="before", times=30)
    yield "RequestLimitExceeded"
    night.sandbox.faults.clear()
    night.clock.sleep(60)


def a_refusal(night):
    night.fault(code="InvalidParameter", when="before")
    yield "InvalidParameter"


def no_ledger(night):
    night.folder.rename(night.folder.with_name("away"))
    yield "cannot be read or written"
    night.folder.with_name("away").rename(night.folder)


NOTHING = {
    "wrong key": connected("SecretId AKID...only: The SecretKey does not belong to the SecretId", password="wrong"),
    "unknown key": connected("SecretId AKID...else: Tencent does not know this SecretId here", login="AKIDsomeoneelse"),
    "no permission": no_permission,
    "no money": no_money,
    "a mistake": given("period: 99 is above the maximum, 36", period=99),
    "no connection": given("nowhere", tcbilling_conn_id="nowhere"),
    "a wrong connection": connected("must be https", host="http://billing.example.com"),
    "nobody there": connected("no connection to http://127.0.0.1:9", host="http://127.0.0.1:9"),
    "too many requests": too_many_requests,
    "a refusal": a_refusal,
    "no ledger": no_ledger,
}


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_where_nothing_was_bought_the_task_says_so_and_buys_once_after_its_step(night, case):
    happening = case(night)
    cause = next(happening)

    message = night.fails()

    assert message.startswith("Nothing was bought")
    assert cause in message
    assert night.orders == []
    assert "it BUYS" in step_of(message)
    assert next(happening, None) is None
    assert [night.clear()["order_id"]] == night.orders


def test_a_retry_that_airflow_makes_by_itself_is_not_asked_of_anybody(night):
    night.connect(host="http://127.0.0.1:9")
    context = night.context()
    context["ti"].max_tries = 2

    step = step_of(night.fails(context=context))

    assert step.startswith("Nothing: Airflow tries again by itself.")
    night.connect()
    night.clear()
    assert night.spent == PRICE


def test_a_backfill_buys_only_after_its_step(night):
    night.arguments = {"allow_backfill": False}
    message = night.fails(context=night.context(run_type="backfill"))

    assert message.startswith("Nothing was bought.\n")
    assert "allow_backfill=True" in step_of(message)
    assert night.spent == 0
    night.task(allow_backfill=True).execute(night.context(run_type="backfill"))
    assert night.spent == PRICE


def test_a_damaged_record_is_refused_until_it_is_restored(night, tmp_path):
    night.clear()
    (path,) = night.folder.iterdir()
    saved = path.read_text()
    path.write_text("{half")

    message = night.fails()

    assert message.startswith("Nothing was bought by this try.\n")
    step = step_of(message)
    assert "The record to restore" in step
    night.fails()
    (tmp_path / "saved.json").write_text(saved)
    (line,) = [line for line in step.splitlines() if COMMAND in line]
    arguments = shlex.split(line.partition(COMMAND)[2])
    assert night.run([str(tmp_path / "saved.json") if word == "FILE" else word for word in arguments]) == 0
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_an_edit_is_refused_until_it_is_undone(night):
    night.clear()
    night.arguments = {"zone_code": "ap-guangzhou-3"}

    message = night.fails()

    assert message.startswith("Nothing was bought by this try.\n")
    assert step_of(message).startswith("Undo the edit and clear the task: it goes on with the purchase of the record.")
    assert night.clear(purchase_key="as well")["order_id"] == night.orders[1]
    night.arguments = {}
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == 2 * PRICE


def test_an_order_whose_record_could_not_be_written_is_found(night, monkeypatch):
    def full(self, key, text, expected):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_replace", full)
        message = night.fails()

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "it finds this order, and buys nothing" in step_of(message)
    night.clock.sleep(600)
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_two_orders_that_may_be_it_are_told_and_one_is_settled(night, capsys):
    night.open(tokens=Tokens.parse("ignore"))
    client_to(night.sandbox).create_instance(client_token="by hand", **ORDER)
    night.fault("drop")

    message = night.fails()

    assert message.startswith("Perhaps paid, up to 100.00 USD.\n")
    assert all(number in message for number in night.orders)
    step = without_time(" ".join(step_of(message).split()))
    night.clock.sleep(600)
    assert step == without_time(explained(night, message, capsys))
    night.settle(message, "--order-id", night.orders[1])
    assert night.clear()["order_id"] == night.orders[1]
    assert len(night.orders) == 2


def test_an_order_that_nobody_finds_is_settled_as_not_bought_and_the_clear_buys(night, capsys):
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    step = step_of(message)
    not_before = re.search(r"From (\S+Z) on, ", step)[1]
    assert not_before > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
    night.clock.sleep(600)
    assert "--not-bought" in explained(night, message, capsys)
    night.settle(message, "--not-bought")
    assert night.spent == 0
    night.clear()
    assert night.spent == PRICE


def test_an_order_book_that_may_not_be_read_is_read_and_the_order_adopted(night):
    night.fault("drop")
    night.sandbox.faults.add(
        {"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond", "times": None}
    )

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "Let the key read the orders" in step_of(message)
    assert "Connection tcbilling_default, SecretId AKID...only" in message
    night.sandbox.faults.clear()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_server_that_gives_no_answer_for_minutes_is_asked_again(night):
    night.fault("drop")
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "it looks for an order first" in step_of(message)
    night.sandbox.faults.clear()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_retry_without_a_record_does_not_say_that_nothing_was_bought(night):
    night.connect(without_ledger=True)
    night.tries = 1
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    message = night.fails(night.task(purchase_key=None))

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "it looks for an order first" in step_of(message)


@pytest.mark.parametrize("has_record", [True, False])
def test_what_the_server_called_paid_is_for_the_support(night, has_record):
    night.connect(without_ledger=not has_record)
    night.fault(code="FailedOperation.PaySuccDeliverFailed", when="before")

    message = night.fails(night.task(purchase_key=None))

    money = "Paid: an amount that is not known yet, as the server said, and the order is not known."
    assert message.splitlines()[0] == money
    assert step_of(message).startswith("Call Tencent's support with the request id above.")
    assert "--not-bought" not in message
    if has_record:
        other = night.clear(purchase_key="bought by the support")["order_id"]
        for path in night.folder.iterdir():
            if "support" in path.name:
                path.unlink()
        (line,) = [line for line in message.splitlines() if "--order-id" in line]
        arguments = shlex.split(line.partition(COMMAND)[2])
        assert night.run([*(other if word == "NUMBER" else word for word in arguments), "--force"]) == 0
        assert night.clear(purchase_key=None)["order_id"] == other


def test_a_refused_repeat_is_never_sent_again(night):
    night.fault("drop", when="before")
    night.sandbox.account.balance_cents = 0

    message = night.fails()

    assert message.startswith("Perhaps paid, ")
    assert step_of(message).startswith("Call Tencent's support with the request id above.")


def test_without_a_record_the_step_names_what_can_be_done_without_one(night):
    night.connect(without_ledger=True)
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)
    task = {"purchase_key": None}

    message = night.fails(night.task(**task))

    step = step_of(message)
    assert "settle" not in message
    assert "on_unknown_outcome='replay'" in step
    night.clock.sleep(600)
    night.clear(**task, on_unknown_outcome="replay")
    assert night.spent == PRICE


@pytest.mark.parametrize(
    "key",
    ["it's $(this)", "-x", "--order-id", "new\nline", "tab\there", "\u202eturned", "\\n", "k" * 2500, "é " * 299 + "é"],
)
def test_the_commands_name_the_purchase_whatever_its_key_is(night, key, capsys):
    night.arguments = {"purchase_key": key}
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)

    message = night.fails()

    assert all(len(line) < errors.MAX_LINE for line in message.splitlines() if COMMAND in line)
    night.clock.sleep(600)
    assert "--not-bought" in explained(night, message, capsys)
    night.settle(message, "--not-bought")
    night.clear()
    assert night.spent == PRICE


@pytest.mark.parametrize(
    ("status", "money"),
    [
        (5, "Paid: 100.00 USD, order {}."),
        (6, "Paid: 100.00 USD, order {}. The paid part went back to the account."),
        (7, "Perhaps paid, up to 100.00 USD, order {}."),
        (8, "Nothing was bought: order {} was not paid."),
        (9, "Perhaps paid, up to 100.00 USD, order {}."),
        (10, "Perhaps paid, up to 100.00 USD, order {}."),
        (11, "Nothing was bought: order {} was not paid."),
    ],
)
def test_an_order_that_died_says_what_became_of_the_money_and_stays_the_same(night, status, money):
    night.sandbox.faults.add({"fault": "order-status", "status": status})

    message = night.fails()

    assert message.splitlines()[0] == money.format(night.orders[0])
    assert step_of(message).startswith("Call Tencent's support with the order's number.")
    assert night.fails().splitlines()[0] == message.splitlines()[0]
    assert len(night.orders) == 1
    assert night.clear(purchase_key="another")["order_id"] == night.orders[1]


@pytest.mark.parametrize("without_ledger", [False, True])
def test_a_wait_that_ends_goes_on_after_a_clear(night, without_ledger, capsys):
    night.open(delivery_looks=6)
    night.connect(without_ledger=without_ledger)
    key = None if without_ledger else KEY

    message = night.fails(night.task(delivery_timeout=0.001, purchase_key=key))

    assert message.startswith(f"Paid: 100.00 USD, order {night.orders[0]}.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."
    if not without_ledger:
        assert explained(night, message, capsys) == step_of(message)
    assert night.clear(purchase_key=key)["instance_ids"]
    assert night.spent == PRICE


def test_a_key_that_may_not_wait_is_corrected_and_the_task_waits_on(night):
    night.open(delivery_looks=3)
    night.sandbox.faults.add({"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond"})

    message = night.fails()

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "Grant it QCloudFinanceFullAccess" in message
    assert step_of(message).endswith("it waits on for this order, and buys nothing.")
    assert night.clear()["instance_ids"]
    assert night.spent == PRICE


def test_a_task_that_is_woken_for_another_order_goes_on_with_its_own(night):
    night.open(delivery_looks=5)
    task, context = night.task(deferrable=True), night.context()
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(AirflowFailException) as failed:
        task.execute_complete(context, {"order": {"order_id": "2026"}, "deadline": time.time() + 60})

    assert str(failed.value).startswith("Paid: ")
    assert step_of(str(failed.value)) == "Clear the task: it goes on with its own order, and buys nothing."
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_an_airflow_that_is_away_after_the_purchase_does_not_lose_it(night, monkeypatch):
    context = night.context()
    with monkeypatch.context() as patch:

        def away(self, key, value):
            raise ConnectionError("the API server is away")

        patch.setattr(type(context["ti"]), "xcom_push", away)
        message = night.fails(context=context)

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "ConnectionError: the API server is away" in message
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def in_doubt(night):
    """Let a try fail whose order nobody knows."""
    night.fault("drop")
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})
    assert night.fails().startswith("Perhaps paid, ")
    night.sandbox.faults.clear()
    assert len(night.orders) == 1


@pytest.mark.parametrize("case", [NOTHING[name] for name in ("a mistake", "no connection", "a wrong connection")])
@pytest.mark.parametrize("before", [in_doubt, Night.clear])
def test_a_try_that_fails_before_it_read_the_record_says_nothing_of_the_tries_before(night, before, case):
    before(night)
    happening = case(night)
    next(happening)

    message = night.fails()

    assert message.splitlines()[0] == "Nothing was bought by this try."
    assert "it looks for an" in step_of(message)
    assert "it BUYS only if there is none" in step_of(message)
    assert next(happening, None) is None
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_key_that_cannot_tell_its_account_does_not_hide_what_an_earlier_try_did(night):
    in_doubt(night)
    night.connect(login="AKIDsomeoneelse")

    message = night.fails()

    assert message.splitlines()[0] == "Perhaps paid, up to an amount that is not known yet."
    assert step_of(message).startswith("Undo the edit and clear the task: ")
    night.connect()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_run_that_may_no_longer_spend_looks_again_and_buys_after_its_step(night):
    night.fault("drop", when="before", times=30)
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})
    assert night.fails().startswith("Perhaps paid, ")
    night.sandbox.faults.clear()
    night.arguments = {"on_unknown_outcome": "replay"}
    backfill = {"run_type": "backfill"}

    message = night.fails(context=night.context(**backfill))

    assert message.startswith("Perhaps paid, ")
    assert "sends nothing while this run may not spend" in step_of(message)
    assert night.fails(context=night.context(**backfill)).splitlines()[0] == message.splitlines()[0]
    assert night.spent == 0
    night.task(allow_backfill=True).execute(night.context(**backfill))
    assert night.spent == PRICE


@pytest.mark.parametrize("error", [AirflowTaskTimeout("Timeout"), MemoryError("no memory")])
@pytest.mark.parametrize("moment", ["_request", "step"])
def test_a_task_that_is_ended_from_outside_says_what_became_of_the_money(night, monkeypatch, error, moment):
    night.open(delivery_looks=3)
    what = {"_request": (BillingClient, "place"), "step": (DeliveryWatch, "step")}[moment]
    real = getattr(*what)

    def ended(self, *given, **more):
        if moment == "_request":
            real(self, *given, **more)
        raise error

    kind = AirflowTaskTimeout if isinstance(error, AirflowTaskTimeout) else AirflowException
    with monkeypatch.context() as patch:
        patch.setattr(*what, ended)
        message = night.fails(kind=kind)

    paid = f"Paid: an amount that is not known yet, order {night.orders[0]}."
    assert message.splitlines()[0] == (
        "Perhaps paid, up to an amount that is not known yet." if moment == "_request" else paid
    )
    assert str(error) in message
    step_of(message)
    night.clock.sleep(600)
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


@pytest.mark.parametrize("without_ledger", [False, True])
def test_a_wait_that_airflow_ends_in_the_triggerer_says_that_it_is_paid(night, without_ledger):
    night.open(delivery_looks=4)
    night.connect(without_ledger=without_ledger)
    task, context = night.task(deferrable=True, purchase_key=None), night.context()
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(AirflowException) as failed:
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    message = str(failed.value)
    assert message.startswith(f"Paid: 100.00 USD, order {night.orders[0]}.\n")
    assert "Trigger timeout" in message
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."


def instance(night, **options):
    return night.sandbox.account.add_instance(expires_at=time.time() + 3 * DAY, **options).instance_id


def renewing(night, **arguments):
    return RenewInstanceOperator(task_id="buy", **{**PRODUCT, "deferrable": False, **arguments})


def test_a_renewal_of_nothing_says_so(night):
    message = night.fails(renewing(night, instance_id="ins-nowhere"))

    assert message.startswith("Nothing was renewed.\n")
    assert "it RENEWS" in step_of(message)
    assert renewing(night, instance_id=instance(night)).execute(night.context())["new_expire_time"]


def test_a_renewal_that_is_not_needed_is_skipped_with_the_reason(night):
    with pytest.raises(AirflowSkipException, match="was left alone, and nothing was sent"):
        renewing(night, instance_id=instance(night), renew_within=60).execute(night.context())


def test_a_refund_that_nobody_confirmed_says_that_nothing_was_refunded(night):
    given = {**PRODUCT, "instance_id": instance(night), "deferrable": False}

    message = night.fails(RefundInstanceOperator(task_id="buy", **given))

    assert message.startswith("Nothing was refunded.\n")
    assert "it GIVES THE INSTANCE BACK" in step_of(message)
    assert RefundInstanceOperator(task_id="buy", **given, confirm=True).execute(night.context())["order_id"]


def test_a_refund_whose_wait_ends_says_that_it_was_placed(night):
    night.open(delivery_looks=3)
    task = RefundInstanceOperator(
        task_id="buy", **PRODUCT, instance_id=instance(night), confirm=True, delivery_timeout=0.001, deferrable=False
    )

    message = night.fails(task)

    assert message.startswith(f"Refund placed: order {night.orders[-1]}.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."


def test_a_flag_that_was_not_set_says_that_nothing_was_paid(night, monkeypatch):
    failed = [{"InstanceId": "ins-1", "Code": "FailedOperation", "Message": "no"}]
    monkeypatch.setattr(BillingClient, "set_renewal", lambda self, **fields: failed)
    flag = {name: ORDER[name] for name in ("product_code", "region_code")} | {"renew_flag": "NOTIFY_AND_AUTO_RENEW"}

    message = night.fails(SetRenewalOperator(task_id="set", instance_id=instance(night), **flag))

    assert message.startswith("Nothing was paid.\n")
    assert "it sets what differs" in step_of(message)


def test_a_list_that_may_not_be_read_says_which_key_is_wrong(night):
    night.connect(password="wrong")

    message = night.fails(ExpiringInstancesOperator(task_id="list", within="P14D"))

    assert message.startswith("Nothing was bought.\n")
    assert "SecretId AKID...only" in message
    assert "it looks again" in step_of(message)


def sensor(order_id, **options):
    return InstanceDeliverySensor(task_id="wait", order_id=order_id, poke_interval=1, **options)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_sensor_whose_time_is_over_says_that_the_order_stays(night, deferrable):
    night.open(delivery_looks=50)
    order_id = night.clear(wait_for_delivery=False)["order_id"]
    task, context = sensor(order_id, timeout=0.001, deferrable=deferrable), night.context()

    with pytest.raises((AirflowSensorTimeout, TaskDeferred)) as ended:
        task.execute(context)
    if deferrable:
        trigger = ended.value.trigger
        night.clock.sleep(30)
        with pytest.raises(AirflowSensorTimeout) as ended:
            task.execute_complete(context, {**trigger.facts, "deadline": trigger.deadline})

    message = str(ended.value)
    assert message.startswith(f"Nothing was bought by this task. Order {order_id} stays as it is.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_sensor_whose_wait_airflow_ends_says_so(night, error):
    order_id = night.clear(wait_for_delivery=False)["order_id"]
    for task, money in [
        (sensor(order_id, deferrable=True), f"Nothing was bought by this task. Order {order_id} stays as it is."),
        (InstanceExpirySensor(task_id="wait", within=60), "Nothing was bought."),
    ]:
        with pytest.raises(AirflowException) as failed:
            task.resume_execution("__fail__", {"error": error}, night.context())

        assert str(failed.value).splitlines()[0] == money
        assert error in str(failed.value)
        assert step_of(str(failed.value)).startswith("Clear the task: it waits ")


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("fault", [{"fault": "drop"}, {"fault": "error", "code": "InternalError"}])
def test_a_task_that_places_no_order_does_not_promise_to_look_for_one(night, fault, retries):
    night.sandbox.faults.add({"action": "DescribeRenewInstances", "times": None, **fault})
    flag = {name: ORDER[name] for name in ("product_code", "region_code")} | {"renew_flag": "NOTIFY_AND_AUTO_RENEW"}
    for task, acts in [
        (ExpiringInstancesOperator(task_id="list", within="P14D"), "it looks again"),
        (SetRenewalOperator(task_id="set", instance_id="ins-1", **flag), "it sets what differs"),
    ]:
        context = night.context()
        context["ti"].max_tries = retries and 1000

        step = step_of(night.fails(task, context=context))

        assert "order" not in step
        assert step.endswith(f"{acts}.")
        assert ("tries again by itself" in step) is bool(retries)


def test_a_sensor_whose_order_died_says_what_became_of_the_money(night):
    night.sandbox.faults.add({"fault": "order-status", "status": 5})
    order_id = night.clear(wait_for_delivery=False)["order_id"]

    message = night.fails(sensor(order_id))

    assert message.startswith(f"Paid: 100.00 USD, order {order_id}.\n")
    step_of(message)


def test_a_sensor_for_instances_whose_time_is_over_says_so(night):
    task = InstanceExpirySensor(task_id="wait", within=60, poke_interval=1, timeout=0.001, deferrable=False)

    message = night.fails(task, AirflowSensorTimeout)

    assert message.startswith("Nothing was bought.\n")
    assert "A larger timeout waits longer" in step_of(message)


def test_every_error_has_a_step_and_every_step_its_words():
    for kind in ERRORS.values():
        assert any(ancestor in ERROR_STEPS for ancestor in kind.__mro__), kind
    assert set(ERRORS.values()) >= set(ERROR_STEPS)


def test_the_green_log_has_the_price_and_the_instances(connection, context, logged):
    order = CreateInstanceOperator(task_id="buy", **ORDER).execute(context)

    assert f"Paid: 100.00 USD, order {order['order_id']}. Instances: {order['instance_ids'][0]}." in logged()
