"""The example pipelines against the sandbox: what they renew, buy and set, and that a second run spends nothing."""

from __future__ import annotations

import json
import re
import time
from xml.etree import ElementTree

import pendulum
import pytest

from airflow_provider_tcbilling.api.values import RenewFlag
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from tests.conftest import ORDER, PRICE, client_to
from tests.support.dag_runs import ROOT, run

DAYS = 86_400
DAGS = ROOT / "example_dags"


def in_days(days):
    return time.time() + days * DAYS


def ended(printed):
    """Return how often a task ended in a state, as ``approve skipped``, over all runs."""
    return re.findall(r"^task ended: (\w+)\[-?\d+\] (\w+)$", printed, re.MULTILINE)


def runs(*confs):
    return [word for conf in confs for word in ("--conf", json.dumps(conf))]


class TestRenewing:
    @pytest.fixture(autouse=True)
    def _needs_questions(self):
        pytest.importorskip("airflow.sdk.execution_time.hitl", reason="questions came with Airflow 3.1")

    @pytest.fixture
    def account(self, start_sandbox):
        """Two instances to renew, one of each kind to leave alone."""
        sandbox = start_sandbox()
        add = sandbox.account.add_instance
        sandbox.due = [add(expires_at=in_days(3), name="soon"), add(expires_at=in_days(13), name="later", paid_cents=7)]
        sandbox.others = [
            add(expires_at=in_days(15), name="far"),
            add(expires_at=in_days(4), name="by-itself", renew_flag=RenewFlag.AUTO),
            add(expires_at=in_days(4), name="odd", renew_flag="RENEW_ON_TUESDAYS"),
            add(expires_at=in_days(-1), name="lapsed"),
        ]
        sandbox.before = {one.name: one.expires_at for one in [*sandbox.due, *sandbox.others]}
        return sandbox

    @pytest.fixture
    def ledger(self, tmp_path):
        store = DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))
        store.upgrade()
        return str(tmp_path / "ledger.db")

    def test_only_what_was_approved_is_renewed_and_only_once(self, airflow_home, account, ledger):
        answers = ["--answer", "no", "--answer", "yes"]

        printed = run(
            airflow_home,
            account,
            DAGS / "renew_expiring.py",
            ["success"] * 3,
            ledger,
            [*answers, *runs({}, {}, {})],
        )

        rejected, approved, nothing_left = printed.split("dag run ended")[:3]
        assert "0 renewed, 0.00 paid in all" in rejected
        assert ("renew", "skipped") in ended(rejected)
        assert "asked: At most 300.00 USD in all: 2 purchases" in approved
        assert len(re.findall(r"^\| 150\.00 USD \| RenewInstance \| ins-\w+ \|", approved, re.MULTILINE)) == 2
        assert "2 renewed, 200.00 paid in all" in approved
        assert ended(approved).count(("renew", "success")) == 2
        assert "asked:" not in nothing_left
        assert ("approve", "skipped") in ended(nothing_left)
        assert "0 renewed, 0.00 paid in all" in nothing_left

        assert account.requests["RenewInstance"] == 2
        assert account.account.balance_cents == account.options.balance_cents - 2 * PRICE
        for one in account.due:
            was = pendulum.from_timestamp(account.before[one.name], tz="Asia/Shanghai")
            assert one.expires_at == was.add(months=1).timestamp()
            assert f"{one.instance_id} {one.name}: renewed until {was.add(months=1).to_datetime_string()}" in approved
        assert all(one.expires_at == account.before[one.name] for one in account.others)
        assert all(f"{one.name} is left alone" in approved for one in account.others[1:])

    def test_an_approval_that_nobody_gave_renews_nothing(self, airflow_home, account, ledger):
        marked = ["--mark-success", "approve"]

        printed = run(airflow_home, account, DAGS / "renew_expiring.py", "failed", ledger, marked)

        assert ("approve", "success") in ended(printed)
        assert ended(printed).count(("renew", "failed")) == 2
        assert "must be approved, and nobody could be asked" in printed
        assert account.requests["RenewInstance"] == 0

    def test_without_a_ledger_in_a_database_nothing_is_renewed(self, airflow_home, account):
        run(airflow_home, account, DAGS / "renew_expiring.py", "failed", options=["--answer", "yes"])

        assert account.requests["RenewInstance"] == 0

    def test_a_renewal_that_fails_fails_the_run_and_the_others_are_told(self, airflow_home, account, ledger):
        account.faults.add(
            {
                "fault": "error",
                "code": "FailedOperation.BalanceInsufficient",
                "when": "before",
                "action": "RenewInstance",
            }
        )

        printed = run(airflow_home, account, DAGS / "renew_expiring.py", "failed", ledger, ["--answer", "yes"])

        assert sorted(state for task, state in ended(printed) if task == "renew") == ["failed", "success"]
        assert "1 renewed, 100.00 paid in all" in printed
        assert re.search(r"not renewed, failed; the log of renew \[\d\] says why", printed)
        assert account.account.balance_cents == account.options.balance_cents - PRICE

    def test_nothing_can_be_renewed_past_the_approval(self):
        dag = dag_of("renew_expiring")

        assert dag.get_task("renew").upstream_task_ids == {"approve", "propose"}
        assert dag.get_task("approve").upstream_task_ids == {"plan"}
        rules = {dag.get_task(name).trigger_rule for name in ("approve", "plan", "renew")}
        assert {getattr(rule, "value", rule) for rule in rules} == {"all_success"}
        for name in ("plan", "renew"):
            assert dag.get_task(name).partial_kwargs["approve_above_cents"] == 0


class TestExpanding:
    DAG = DAGS / "expand_on_schedule.py"

    def test_the_difference_is_bought_and_a_second_run_buys_nothing(self, airflow_home, start_sandbox, tmp_path):
        sandbox = start_sandbox(delivery_looks=1)
        sandbox.account.add_instance(expires_at=in_days(30), region_code="ap-singapore")
        sandbox.account.add_instance(expires_at=in_days(30))

        printed = run(
            airflow_home,
            sandbox,
            self.DAG,
            ["success"] * 2,
            f"file://{tmp_path}",
            runs({"wanted": 3, "max_new": 2}, {"wanted": 3}),
        )

        assert "1 exist, 0 are under way, 3 are wanted, 2 are to be bought" in printed
        assert "3 exist, 0 are under way, 3 are wanted, 0 are to be bought" in printed
        assert sandbox.requests["CreateInstance"] == 2
        assert sandbox.account.balance_cents == sandbox.options.balance_cents - 2 * PRICE
        assert {path.name[: len("edge-firewall-slot-02")] for path in tmp_path.glob("*.json")} == {
            "edge-firewall-slot-02",
            "edge-firewall-slot-03",
        }
        (ids,) = re.findall(r"^New: (.*)$", printed, re.MULTILINE)
        bought = [order for order in sandbox.account.orders() if order.client_token]
        assert set(ids.split(", ")) == {i for order in bought for i in order.instance_ids}

    def test_a_lost_answer_and_an_order_under_way_are_not_bought_again(self, airflow_home, start_sandbox, tmp_path):
        sandbox = start_sandbox()
        sandbox.faults.add({"fault": "order-status", "status": 3})
        client_to(sandbox).create_instance(client_token="somebody else's", **ORDER)
        sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})

        printed = run(
            airflow_home,
            sandbox,
            self.DAG,
            ["failed", "success"],
            f"file://{tmp_path}",
            runs({"wanted": 2}, {"wanted": 2}),
        )

        assert printed.count("1 under way") == 0
        assert "0 exist, 1 are under way, 2 are wanted, 1 are to be bought" in printed
        assert "1 exist, 1 are under way, 2 are wanted, 0 are to be bought" in printed
        assert sandbox.requests["CreateInstance"] == 2

    def test_too_many_at_once_and_no_ledger_buy_nothing(self, airflow_home, sandbox, tmp_path):
        many = run(airflow_home, sandbox, self.DAG, "failed", f"file://{tmp_path}", runs({"wanted": 9}))
        bare = run(airflow_home, sandbox, self.DAG, "failed", options=runs({"wanted": 1}))

        assert "9 would be bought, and max_new is 2: none was" in many
        assert "Only a ledger keeps a slot from being bought by two runs" in bare
        assert sandbox.requests["CreateInstance"] == 0

    def test_a_slot_whose_instance_is_gone_needs_a_new_generation(self, airflow_home, sandbox, tmp_path):
        ledger_uri = f"file://{tmp_path}"
        run(airflow_home, sandbox, self.DAG, "success", ledger_uri, runs({"wanted": 2}))
        told = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
        first = sandbox.account.orders()[0].instance_ids[0]
        client_to(sandbox).refund_instance(client_token="given back", instance_id=first, **told)

        printed = run(
            airflow_home,
            sandbox,
            self.DAG,
            ["failed", "success", "success"],
            ledger_uri,
            runs({"wanted": 2}, {"wanted": 2, "generation": 2}, {"wanted": 2, "generation": 2}),
        )

        assert "its key buys nothing any more" in " ".join(printed.split())
        assert sandbox.requests["CreateInstance"] == 3


class TestFlags:
    DAG = DAGS / "renew_flag_hygiene.py"

    def test_only_differences_are_written_and_only_if_told(self, airflow_home, sandbox):
        add = sandbox.account.add_instance
        kept = [
            add(expires_at=in_days(30), name="prod-1", renew_flag=RenewFlag.AUTO),
            add(expires_at=None, name="other"),
        ]
        wrong = [
            add(expires_at=in_days(30), name="prod-2"),
            add(expires_at=in_days(30), name="test-1", renew_flag=RenewFlag.AUTO),
        ]
        odd = add(expires_at=in_days(30), name="prod-3", renew_flag="RENEW_ON_TUESDAYS")
        lapsed = add(expires_at=in_days(-1), name="prod-4")
        before = {one.name: one.renew_flag for one in [*kept, odd, lapsed]}

        only_told = run(airflow_home, sandbox, self.DAG)
        assert sandbox.requests["SetRenewal"] == 0
        fixed = run(airflow_home, sandbox, self.DAG, ["success"] * 2, options=runs({"fix": True}, {"fix": True}))

        for one in wrong:
            assert re.search(rf"{one.instance_id} {one.name}: drift", only_told)
        assert re.search(r"prod-3: flag not known, left alone; is 'RENEW_ON_TUESDAYS'", only_told)
        assert re.search(r"prod-4: ISOLATED, left alone", only_told)
        assert "2 drift" in fixed.split("dag run ended")[0]
        assert "drift" not in fixed.split("dag run ended")[1].replace("task_id", "")
        assert [one.renew_flag for one in wrong] == [RenewFlag.AUTO, "NOTIFY_AND_MANUAL_RENEW"]
        assert {one.name: one.renew_flag for one in [*kept, odd, lapsed]} == before
        assert sandbox.requests["SetRenewal"] == 2
        assert sandbox.account.balance_cents == sandbox.options.balance_cents


class TestCalendar:
    DAG = DAGS / "expiry_calendar.py"

    def test_it_shows_each_day_and_what_was_paid_if_that_is_known(self, airflow_home, sandbox, tmp_path):
        add = sandbox.account.add_instance
        add(expires_at=in_days(40), name="new", paid_cents=1234, bought_at=in_days(-10))
        add(expires_at=in_days(40), name="old", bought_at=in_days(-100), renew_flag=RenewFlag.AUTO)
        add(expires_at=in_days(80), name="odd", renew_flag="RENEW_ON_TUESDAYS")
        add(expires_at=in_days(500), name="far")

        printed = run(airflow_home, sandbox, self.DAG, options=runs({"folder": str(tmp_path)}))

        assert re.search(r"\| new \| p_cloudfirewall \| NORMAL \| ends, unless renewed \| 12.34 USD \|", printed)
        assert re.search(r"\| old \| p_cloudfirewall \| NORMAL \| renews itself \| unknown \|", printed)
        assert re.search(r"\| odd \| p_cloudfirewall \| NORMAL \| not known \| 100.00 USD \|", printed)
        assert "| far |" not in printed
        day = pendulum.from_timestamp(in_days(40), tz="Asia/Shanghai").to_date_string()
        (picture,) = tmp_path.glob("*.svg")
        drawing = ElementTree.parse(picture).getroot()
        titles = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
        assert {f"{day}: new, old", f"{day}: old, new"} & set(titles)
        assert [e.text for e in drawing.iter() if e.get("class") == "count on"] == ["2", "1"]
        assert set(sandbox.requests) <= {"DescribeRenewInstances", "DescribeDealsByCond"}

    def test_an_empty_account_has_an_empty_calendar(self, airflow_home, sandbox, tmp_path):
        run(airflow_home, sandbox, self.DAG, options=runs({"folder": str(tmp_path)}))

        assert len(list(tmp_path.glob("*.svg"))) == 1


def dag_of(name):
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

    (dag,) = DagBag(str(DAGS / f"{name}.py")).dags.values()
    return dag
