"""make demo: buy from the sandbox with a deferrable DAG on a real Airflow, watch it, and check what it cost."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # While the rest is imported there is nothing to stop yet, and a traceback would only frighten.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import sys
from typing import Any
from urllib.parse import quote

from scripts.demo_show import money
from scripts.demo_stage import Stage, TaskLogs, carried_out, is_over
from tests.support.real_airflow import AirflowTrouble

DELIVERY_SECONDS = "8"
"""Long enough that the task must defer, and over when the trigger looks for the first time, after 10 s."""


class Demo(Stage):
    """Buys one firewall with a deferrable task."""

    dag_id = "tcbilling_buy_deferrable"
    sandbox_options = ("--delivery-seconds", DELIVERY_SECONDS)

    def play(self) -> str:
        """Buy, and return what went wrong; the summary has the rest, as far as there is one."""
        self._summary: dict[str, Any] = {}
        self._run_url = ""
        try:
            before = self.sandbox.get("state")["balance_cents"]
            bought = self._bought()
            seconds = {name: round(value, 1) for name, value in self.show.tasks["buy"].seconds().items()}
            seconds.pop("success")
            self._summary = {
                "order_id": bought["order_id"],
                "instance_ids": bought["instance_ids"],
                "create_instance_requests": self.sandbox.purchases(),
                "balance_before_cents": before,
                "balance_after_cents": self.sandbox.get("state")["balance_cents"],
                "seconds": {**seconds, "total": round(self.show.elapsed(), 1)},
                "ledger": self.ledger.list(self.sandbox.connection).splitlines(),
                "ui": self.airflow.url,
                "sandbox": f"{self.sandbox.url}/",
            }
            (self.folder / "summary.json").write_text(json.dumps(self._summary, indent=2) + "\n", encoding="utf-8")
            return "; ".join(mistakes_in(self._summary, self.sandbox.get("orders")["orders"]))
        except AirflowTrouble as trouble:
            return str(trouble)

    def tell(self, failure: str) -> None:
        """Print the result."""
        self.show.tell(self._summary, failure)

    def addresses(self) -> list[str]:
        """Return the address of the run."""
        return [f"The DAG run  {self._run_url}"]

    def _bought(self) -> dict[str, Any]:
        """
        Run the DAG to its end, and return what its first task returned.

        :raises AirflowTrouble: It did not end well.
        """
        run_id = self.airflow.trigger(self.dag_id)
        self._run_url = f"{self.airflow.url}/dags/{self.dag_id}/runs/{quote(run_id, safe='')}"
        self.show.enter(f"Running {self.dag_id}")
        state = self.follow(self.dag_id, run_id, TaskLogs(self.airflow.logs, self.dag_id), is_over)
        if state != "success":
            states = "; ".join(f"{task_id}: {spells}" for task_id, spells in self.show.tasks.items())
            raise AirflowTrouble("\n  ".join([f"the run ended as {state} ({states})", *self.show.log]))
        return dict(self.airflow.xcom(self.dag_id, run_id, "buy"))


def mistakes_in(summary: dict[str, Any], orders: list[dict[str, Any]]) -> list[str]:
    """Return in what the demonstration did not show what it should."""
    mistakes = []
    if summary["create_instance_requests"] != 1:
        mistakes.append(f"CreateInstance was requested {summary['create_instance_requests']} times, not once")
    placed = [(order["order_id"], order["instance_ids"]) for order in orders]
    if placed != [(summary["order_id"], summary["instance_ids"])]:
        mistakes.append(f"the sandbox has other orders or instances than the task returned: {placed}")
    paid = summary["balance_before_cents"] - summary["balance_after_cents"]
    cost = sum(order["cost_cents"] for order in orders)
    if paid != cost:
        mistakes.append(f"the balance fell by {money(paid)}, but the orders cost {money(cost)}")
    if not any(summary["order_id"] in line for line in summary["ledger"]):
        mistakes.append(f"the ledger does not list the order: {summary['ledger']}")
    if "deferred" not in summary["seconds"]:
        mistakes.append("the task was never seen deferred")
    return mistakes


if __name__ == "__main__":
    sys.exit(carried_out(Demo, __doc__))
