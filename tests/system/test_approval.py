"""
Approvals on a real Airflow, through its public API: only the answer of a user who may approve buys, and only what and
at the price that the question named.

``TCBILLING_AIRFLOW_PYTHON`` names the interpreter of another line: see tests/README.md.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.support.approving_airflow import PYTHON, ApprovingAirflow

pytestmark = pytest.mark.system

DAGS = Path(__file__).with_name("approval_dags")
REFUSE = "Do not buy"


@pytest.fixture(scope="module")
def sandbox():
    options = Options(SECRET_ID, SECRET_KEY, delivery_looks=1, balance_cents=1000 * PRICE, rate_limit=0)
    with running(sandbox := Sandbox(options)) as url:
        sandbox.url = url
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory):
    """Four components, users who log in, and a ledger in a database."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.db"
    DatabaseStore(Address("sqlite", str(ledger))).upgrade()
    connections = {
        "TCBILLING_DEFAULT": {
            "conn_type": "tcbilling",
            "host": sandbox.url,
            "login": SECRET_ID,
            "password": SECRET_KEY,
            "extra": {"ledger_conn_id": "ledger", "order_book_lag": 1, "requests_per_second": 100},
        },
        "LEDGER": {"conn_type": "sqlite", "host": str(ledger)},
    }
    environment = {f"AIRFLOW_CONN_{name}": json.dumps(fields) for name, fields in connections.items()}
    environment["AIRFLOW__CORE__PARALLELISM"] = "4"
    with ApprovingAirflow(tmp_path_factory.mktemp("airflow"), DAGS, environment) as airflow:
        for dag_id in ("approved", "paused", "not_requester"):
            airflow.wait_for_dag(dag_id)
        yield airflow


@dataclass
class Case:
    """
    One purchase that must be approved.

    :param project: Tells its order from those of other cases.
    """

    airflow: ApprovingAirflow
    sandbox: Sandbox
    name: str
    project: int
    dag_id: str = "approved"
    run_id: str = ""

    def set(self, **arguments: Any) -> None:
        """Write the arguments of the task, as an edit of the DAG does."""
        values = {"project_id": self.project, "max_cents": PRICE, "valid_for": 3600, **arguments}
        body = {"key": self.name, "value": json.dumps(values)}
        try:
            self.airflow.api("PATCH", f"/variables/{self.name}", body)
        except Exception:
            self.airflow.api("POST", "/variables", body)

    def start(self, **arguments: Any) -> Case:
        self.set(**arguments)
        self.run_id = self.airflow.trigger(self.dag_id, {"name": self.name})
        return self

    @property
    def option(self) -> str:
        """The option of the question that approves, once the task waits for an answer."""
        approve, refuse = self.question["options"]
        assert refuse == REFUSE
        return str(approve)

    @property
    def question(self) -> dict[str, Any]:
        return self.airflow.question(self.dag_id, self.run_id)

    def answer(self, user: str, option: str) -> int:
        return self.airflow.answer(user, option, self.dag_id, self.run_id)

    def clear(self) -> None:
        self.airflow.clear(self.dag_id, self.run_id)

    def ended(self, seconds: float = 180.0) -> str:
        return self.airflow.wait_for_run(self.dag_id, self.run_id, seconds)

    def log(self) -> str:
        """Return the log of the last try."""
        logs = sorted((self.airflow.logs / f"dag_id={self.dag_id}").rglob("*.log"), key=lambda one: one.stat().st_mtime)
        return "\n".join(log.read_text() for log in logs if self.run_id in str(log))

    def paid(self, project: int | None = None) -> list[int]:
        """Return what was paid for it, order by order, from the books of the other side."""
        wanted = self.project if project is None else project
        return [order.paid_cents for order in self.sandbox.account.orders() if order.project_id == wanted]


@pytest.fixture(scope="module")
def case(airflow, sandbox):
    """Return what makes a case, each with a project of its own."""
    projects = iter(range(1, 100))
    return lambda name, **more: Case(airflow, sandbox, name, next(projects), **more)


@pytest.fixture(scope="module", autouse=True)
def cases(case):
    """Start all cases that ask at once, so that they wait together."""
    plain = ("approve", "reject", "edited", "stranger", "forged", "late_price", "anonymous")
    started = {name: case(name).start() for name in plain}
    started["timeout"] = case("timeout").start(valid_for=15)
    started["own"] = case("own", dag_id="not_requester").start()
    started["between"] = case("between", dag_id="paused").start()
    return started


def test_nothing_is_bought_before_anybody_has_answered(cases, sandbox):
    for name, one in cases.items():
        if name != "timeout":
            assert f"Buy for at most {PRICE / 100:.2f} USD [" in one.option

    assert sandbox.account.orders() == []
    assert sandbox.requests.get("CreateInstance", 0) == 0


def test_the_question_shows_the_price_first_and_no_secret(cases):
    question = cases["approve"].question

    assert question["subject"].startswith("At most 100.00 USD")
    assert question["body"].startswith("**At most 100.00 USD**")
    assert question["defaults"] == [REFUSE]
    assert SECRET_KEY not in json.dumps(question)


def test_a_yes_buys_once_and_a_clear_returns_the_same_order(cases):
    one = cases["approve"]

    assert one.answer("alice", one.option) == 200
    assert one.ended() == "success"

    assert one.paid() == [PRICE]
    one.clear()
    assert one.ended() == "success"
    assert one.paid() == [PRICE]


def test_a_no_buys_nothing(cases):
    one = cases["reject"]

    assert one.answer("alice", one.question["options"][1]) == 200

    assert one.ended() == "failed"
    assert "alice has refused it" in one.log()
    assert one.paid() == []


def test_a_time_out_buys_nothing(cases):
    one = cases["timeout"]

    assert one.ended() == "failed"

    assert "nobody has answered in time" in one.log()
    assert one.paid() == []


def test_an_edit_after_the_question_buys_neither_the_one_nor_the_other(cases):
    one = cases["edited"]
    option = one.option
    one.set(project_id=99)

    assert one.answer("alice", option) == 200

    assert one.ended() == "failed"
    assert "is not that of the question any more" in one.log()
    assert one.paid() == one.paid(99) == []


def test_somebody_who_is_no_approver_buys_nothing(cases):
    one = cases["stranger"]

    assert one.answer("mallory", one.option) == 200

    assert one.ended() == "failed"
    assert "mallory is not one of the approvers" in one.log()
    assert one.paid() == []


def test_the_user_who_started_the_run_approves_nothing_where_that_is_forbidden(cases):
    one = cases["own"]

    assert one.answer("requester", one.option) == 200

    assert one.ended() == "failed"
    assert "requester requested it" in one.log() or "nothing says which user requested it" in one.log()
    assert one.paid() == []


def test_an_option_that_was_not_offered_buys_nothing(cases):
    """Airflow 3.1 and 3.2 take any text for an answer."""
    one = cases["forged"]
    offered = one.option

    status = one.answer("alice", offered.replace("100.00", "900.00"))

    if status != 200:
        assert one.answer("alice", REFUSE) == 200
    assert one.ended() == "failed"
    assert one.paid() == []


def test_an_answer_of_a_worker_buys_nothing(case):
    one = case("as_worker").start(valid_for=30)
    option = one.option

    status = one.airflow.answer_as_worker(option, one.dag_id, one.run_id)

    assert status == 200
    # A retry asks again, and nobody answers.
    assert one.ended(300) == "failed"
    assert one.paid() == []


def test_after_a_change_of_the_price_the_first_question_is_shown_to_nobody(cases):
    one = cases["late_price"]
    old = one.option
    one.set(max_cents=9 * PRICE)
    one.clear()

    assert one.ended() == "failed"

    assert "is not that of the question any more" in one.log()
    assert "Start a new run" in one.log()
    one.answer("alice", old)
    assert one.airflow.run_state(one.dag_id, one.run_id) == "failed"
    assert one.paid() == []


def test_a_new_run_asks_anew(cases, case):
    one = cases["late_price"]
    new = Case(one.airflow, one.sandbox, one.name, one.project)
    new.run_id = one.airflow.trigger(one.dag_id, {"name": one.name})

    assert "900.00 USD" in new.option
    assert new.answer("bob", REFUSE) == 200
    assert new.ended() == "failed"
    assert one.paid() == []


def test_the_command_line_approves_what_the_page_cannot_show_any_more(cases, tmp_path, airflow):
    one = cases["late_price"]
    lines = [line for line in one.log().splitlines() if "The plan to approve: " in line]
    plan = plans_in(lines)[-1]
    assert plan["total_cents"] == 9 * PRICE
    (tmp_path / "plan.json").write_text(json.dumps(plan))

    command = [PYTHON, "-m", "airflow_provider_tcbilling", "approve", "--plan", str(tmp_path / "plan.json")]
    more = ["--until", "PT1H", "--by", "bob", "--yes-total", str(9 * PRICE)]
    done = subprocess.run([*command, *more], env=airflow._env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Approved by bob" in done.stdout
    one.clear()

    assert one.ended() == "success"
    assert one.paid() == [PRICE]


def test_an_answer_between_a_clear_and_the_next_try_buys_nothing(cases):
    one = cases["between"]
    old = one.option
    one.airflow.api("PATCH", "/dags/paused", {"is_paused": True})
    one.set(max_cents=9 * PRICE)
    one.clear()
    one.answer("alice", old)
    one.airflow.api("PATCH", "/dags/paused", {"is_paused": False})

    assert one.ended() == "failed"
    assert "is not that of the question any more" in one.log()
    assert one.paid() == []


def test_nobody_in_particular_buys_nothing(cases, airflow):
    """The last test: it takes the logins away."""
    one = cases["anonymous"]
    option = one.option
    airflow.be_anonymous()

    assert one.answer("alice", option) == 200

    assert one.ended() == "failed"
    assert "no named user has answered, but Anonymous" in one.log()
    assert one.paid() == []


def test_of_all_these_only_what_was_approved_was_bought(cases, sandbox):
    assert sorted(order.project_id for order in sandbox.account.orders()) == sorted(
        [cases["approve"].project, cases["late_price"].project]
    )
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 2 * PRICE


def plans_in(lines):
    """Return the plans in lines of a log, which may be JSON themselves."""
    plans = []
    for line in lines:
        text = json.loads(line)["event"] if line.startswith("{") else line
        begin = text.index("The plan to approve: ") + len("The plan to approve: ")
        plans.append(json.JSONDecoder().raw_decode(text[begin:])[0])
    return plans
