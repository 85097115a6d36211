"""make demo-money: plan, limit, approve, record and reconcile purchases on a real Airflow, and check each step."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # While the rest is imported there is nothing to stop yet, and a traceback would only frighten.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pendulum

from scripts.demo_ledger import Finished
from scripts.demo_money_show import NotAsPromised, Step, expect, print_table
from scripts.demo_stage import ROOT, Stage, TaskLogs, carried_out, is_over, short
from tests.support.named_airflow import NamedAirflow, wait_until_left
from tests.support.real_airflow import AirflowTrouble

PLAN_ID, BUY_ID = "tcbilling_money_plan", "tcbilling_money"
TASK_ID = "buy"
ENGINEER, APPROVER = "engineer", "finance"
"""The users of this Airflow: one starts the purchases, the other one approves them."""

PRICE = 10_000
MOST = 5 * PRICE
ASK_ABOVE = PRICE + PRICE // 2
LIMIT = "demonstration"
RULES = {
    "spending_limits": [{"name": LIMIT, "window": "month", "max_cents": MOST, "currency": "USD"}],
    "approve_above_cents": ASK_ABOVE,
    "approvers": [APPROVER],
    "approver_is_not_requester": True,
}
"""The rules of the connection, which the administrator sets, beside the zone of the month."""

ZONES = ("Asia/Shanghai", "UTC")
"""The zone of Tencent's bills, and another one for a demonstration that begins just before a month ends there."""

MOST_MINUTES = 30
"""The longest that a demonstration takes before its last step, on a machine that has much else to do."""

CONSOLE_USER, CONSOLE_CENTS = "100000000777", 33_300
"""The user of the account who buys something in the console, and its price."""

WAITING = ("awaiting_input", "deferred")


class MoneyDemo(Stage):
    """Eight steps, each with a promise."""

    dags = ROOT / "scripts" / "demo_money_dags"
    dag_id = BUY_ID
    sandbox_options = ("--price", json.dumps({"cents": PRICE}), "--balance", "200000")
    login = "users below"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._zone = next(zone for zone in ZONES if _month(zone) == _month(zone, MOST_MINUTES))
        self._html = self.folder / f"purchases-{_month(self._zone)}.html"
        self._steps: list[Step] = []
        self._heard: list[str] = []
        self._passwords = {name: secrets.token_urlsafe(9) for name in (ENGINEER, APPROVER)}

    def connections(self) -> dict[str, str]:
        """Return the environment variables of the connections, with the rules."""
        return self.ledger.connections(self.sandbox.connection, {**RULES, "limits_zone": self._zone})

    def new_airflow(self) -> NamedAirflow:
        """Return an Airflow with two users."""
        self._named = NamedAirflow(self._passwords, self.folder, self.dags, self.connections(), self.tick)
        return self._named

    def play(self) -> str:
        """Show each step, and return those that did not keep their promise."""
        self._logs = TaskLogs(self.airflow.logs, self.dag_id)
        steps = (
            ("preflight", "Tests the connection, and buys nothing", self._preflight),
            ("plan", "Says what a purchase would do, and sends nothing", self._plan),
            ("within the limit", f"Buys one firewall for {_usd(PRICE)}", self._within),
            ("over the limit", f"Is refused before anything is sent: {_usd(MOST)} more in a month", self._over),
            ("wrong approver", f"Above {_usd(ASK_ABOVE)} it asks; a yes of {ENGINEER} buys nothing", self._wrong),
            ("approval", f"It waits, and buys after a yes of {APPROVER}", self._approval),
            ("reconcile", "Finds the one purchase that nobody owns, and nothing else", self._reconcile),
            ("the record", "The chain of events is whole, and the ledger says what was paid", self._record),
        )
        for name, promise, show in steps:
            self._show_step(Step(name, promise), show)
        summary = [vars(step) for step in self._steps]
        (self.folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        return "; ".join(f"{step.name}: {step.shown}" for step in self._steps if not step.is_kept)

    def tell(self, failure: str) -> None:
        """Print the table, and the address of the page."""
        print_table(self.show.console, self._steps)
        if self._html.exists():
            print(f"The page for finance: {short(self._html)} (one file, open it in a browser)")
        if failure:
            print(f"The demo failed: {failure}", file=sys.stderr, flush=True)

    def addresses(self) -> list[str]:
        """Return the logins."""
        return [f"Login        {name} / {password}" for name, password in self._passwords.items()]

    def hear(self, line: str) -> None:
        """Take a line that a task wrote, and remember it."""
        self._heard.append(line)
        super().hear(line)

    def _show_step(self, step: Step, show: Callable[[], str]) -> None:
        self._steps.append(step)
        self.show.enter(f"{step.name}: {step.promise}")
        try:
            step.shown = show()
            step.is_kept = True
        except (NotAsPromised, AirflowTrouble) as trouble:
            step.shown = str(trouble)

    def _preflight(self) -> str:
        done = self._command("preflight")
        expect(done.code == 0, f"exit status {done.code}: {done.text}")
        expect("finance:trade" in done.text, "it does not say what cannot be tested")
        expect(self._sent() == 0, "it sent a purchase")
        return done.text.splitlines()[-1]

    def _plan(self) -> str:
        run_id = self.airflow.trigger(PLAN_ID)
        ended = self.follow(PLAN_ID, run_id, TaskLogs(self.airflow.logs, PLAN_ID), is_over)
        expect(ended == "success", f"the run ended as {ended}")
        (purchase,) = self.airflow.xcom(PLAN_ID, run_id, TASK_ID)["purchases"]
        (limit,) = purchase["limits"]
        expect(self._sent() == 0, "it sent a purchase")
        expect(purchase["max_cents"] == PRICE, f"its worst case is {purchase['max_cents']} cents")
        expect(limit["left_cents"] == MOST - PRICE, f"limit {limit['name']} would leave {limit['left_cents']} cents")
        step, left = purchase["next"]["step"], _usd(limit["left_cents"])
        return f"A try would {step}, for at most {_usd(PRICE)}. Limit {limit['name']!r} would leave {left}"

    def _within(self) -> str:
        run_id = self._run()
        expect(self._end(run_id) == "success", f"the task ended as {self._state(run_id)}")
        bought = self.airflow.xcom(self.dag_id, run_id, TASK_ID)
        expect(self._paid() == PRICE, f"{_usd(self._paid())} were paid")
        return f"Order {bought['order_id']}, {_usd(PRICE)} of {_usd(MOST)} settled"

    def _over(self) -> str:
        sent = self._sent()
        run_id = self._run(quantity=5, max_cents=5 * PRICE)
        expect(self._end(run_id) == "failed", f"the task ended as {self._state(run_id)}")
        expect(self._sent() == sent, "it sent a purchase")
        said = [line for text in self._heard for line in text.splitlines() if LIMIT in line]
        expect(said, "the log of the task does not name the limit")
        return said[-1]

    def _wrong(self) -> str:
        sent = self._sent()
        run_id, question = self._asked()
        self._answer(run_id, question, ENGINEER)
        expect(self._end(run_id) == "failed", f"the task ended as {self._state(run_id)}")
        expect(self._sent() == sent, "it sent a purchase")
        said = [line for text in self._heard for line in text.splitlines() if "was not approved" in line]
        expect(said, "the log of the task does not say that it was not approved")
        return said[-1]

    def _approval(self) -> str:
        run_id, question = self._asked()
        self._answer(run_id, question, APPROVER)
        expect(self._end(run_id) == "success", f"the task ended as {self._state(run_id)}")
        expect(self._paid() == 3 * PRICE, f"{_usd(self._paid())} were paid in all")
        return f"{APPROVER} chose {question['options'][0]!r}, and it was bought. {_usd(3 * PRICE)} were paid in all"

    def _asked(self) -> tuple[str, dict[str, Any]]:
        """Start a purchase that needs an approval, and return its run and the question."""
        sent = self._sent()
        run_id = self._run(quantity=2, max_cents=2 * PRICE)
        self._follow(run_id, lambda state, tasks: tasks.get(TASK_ID) in WAITING or is_over(state, tasks))
        expect(self._state(run_id) in WAITING, f"the task does not wait, it is {self._state(run_id)}")
        wait_until_left(self.airflow, run_id)
        expect(self._sent() == sent, "it sent a purchase before the answer")
        return run_id, self.airflow.api("GET", self._question_path(run_id))

    def _answer(self, run_id: str, question: Mapping[str, Any], user: str) -> None:
        """Say yes to a question as a user does."""
        with self._named.logged_in(user):
            answer = {"chosen_options": question["options"][:1], "params_input": {}}
            self.airflow.api("PATCH", self._question_path(run_id), answer)

    def _question_path(self, run_id: str) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{TASK_ID}/-1/hitlDetails"

    def _reconcile(self) -> str:
        wanted = {"product_code": "p_waf", "cents": CONSOLE_CENTS, "creator": CONSOLE_USER}
        (order,) = self.sandbox.post("orders", wanted)["orders"]
        month = ("--month", _month(self._zone))
        done = self._command("reconcile", *month, "--html", str(self._html))
        expect(done.code == 1, f"exit status {done.code}, as if all agreed: {done.text}")
        report = json.loads(self._command("reconcile", *month, "--json").text)
        found = [line for line in report["lines"] if line["kind"] != "agreed"]
        expect([line["order_id"] for line in found] == [order["order_id"]], f"it found {found}")
        expect(self._html.stat().st_size > 1000, "the page is empty")
        return f"Order {order['order_id']}, {_usd(CONSOLE_CENTS)}: {found[0]['kind']}. {len(report['lines']) - 1} agree"

    def _record(self) -> str:
        done = self._command("ledger", "verify")
        expect(done.code == 0, f"exit status {done.code}: {done.text}")
        lines = json.loads(self._command("export", "--month", _month(self._zone), "--format", "json").text)
        settled = sum(line["purchase_cents"] or 0 for line in lines)
        expect(settled == self._paid(), f"the ledger says {_usd(settled)}, and {_usd(self._paid())} were paid")
        return f"{done.text.splitlines()[-1]} The ledger says {_usd(settled)}"

    def _run(self, **conf: Any) -> str:
        return self.airflow.trigger(self.dag_id, conf)

    def _end(self, run_id: str) -> str:
        return self._follow(run_id, is_over)

    def _follow(self, run_id: str, is_enough: Callable[[str, Mapping[str, str]], bool]) -> str:
        return self.follow(self.dag_id, run_id, self._logs, is_enough)

    def _state(self, run_id: str) -> str | None:
        return self.airflow.task_state(self.dag_id, run_id, TASK_ID)

    def _sent(self) -> int:
        """Return how many purchases were sent."""
        return self.sandbox.purchases()

    def _paid(self) -> int:
        """Return what was paid with the key of the connection."""
        return sum(order["cost_cents"] for order in self.sandbox.get("orders")["orders"] if not order["creator"])

    def _command(self, *arguments: str) -> Finished:
        return self.ledger.command(self.connections(), *arguments)


def _month(zone: str, minutes: int = 0) -> str:
    """Return the month in a zone, so many minutes from now."""
    return str(pendulum.now(zone).add(minutes=minutes).format("YYYY-MM"))


def _usd(cents: int) -> str:
    return f"{cents / 100:,.2f} USD"


if __name__ == "__main__":
    sys.exit(carried_out(MoneyDemo, __doc__))
