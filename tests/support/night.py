"""What the tests of messages share: a task that fails at night, and the step that its message names."""

from __future__ import annotations

import re
import shlex

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    TaskDeferred,
)

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.task.next_steps import COMMAND, PAGE
from tests.conftest import ORDER, PRICE, SECRET_KEY, context_of

KEY = "edge firewall"
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
