"""The blocks that show what a task says: the message as it really is, from a sandbox."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import ORDER, Time, context_of
from tests.dags.conftest import environment_of
from tests.support.shop import QUIET, Shop

KEY = "edge-firewall-2026-12"
PLACED_BY = {
    "dag_id": "shop",
    "run_id": "scheduled__2026-12-01T00:00:00+00:00",
    "task_id": "buy_firewall",
    "map_index": -1,
    "try_number": 1,
}


class PagesShop(Shop):
    """The shop of the pages, in which a purchase has their key and their task."""

    def purchase(self, key=KEY, placed_by=PLACED_BY):
        return super().purchase(key, placed_by)


def two_orders_match(sandbox, folder, seconds_ago=2 * QUIET):
    """Lose an answer some time ago, and let somebody buy the same by hand."""
    with pytest.MonkeyPatch.context() as patch:
        shop = PagesShop(sandbox, folder, Time(patch))
        sandbox.reset()  # so that its clock is this one, too
        shop.clock.slept = -seconds_ago
        shop.somebody_elses()
        shop.clock.sleep(6)
        shop.lost(KEY, after=0)
        shop.clock.slept = 0
    return shop


def mistakes(sandbox, folder):
    task = CreateInstanceOperator(
        task_id="buy",
        purchase_key="edge-firewall",
        client_token="edge-firewall",
        product_code="p_cloudfirewall",
        sub_product_code="",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147},
        period="2.5",
        period_unit="d",
    )
    with pytest.raises(AirflowFailException) as failure:
        task.execute(context_of())
    return str(failure.value)


def said(sandbox, ledger, **arguments):
    """Return what a task that buys says in the end."""
    task = CreateInstanceOperator(task_id="buy", purchase_key=KEY, **{**ORDER, **arguments})
    connection = environment_of("", sandbox.url, ledger_uri=ledger.as_uri())["AIRFLOW_CONN_TCBILLING_DEFAULT"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_TCBILLING_DEFAULT", connection)
        with pytest.raises(AirflowFailException) as failure:
            task.execute(context_of())
    return str(failure.value)


def an_unknown_outcome(sandbox, folder):
    return said(sandbox, two_orders_match(sandbox, folder / "another-ledger").folder)


def a_late_delivery(sandbox, folder):
    ledger = folder / "a-third-ledger"
    ledger.mkdir()
    another = Sandbox(sandbox.options)  # in the other one the token has bought already
    another.faults.add({"fault": "order-status", "status": 3, "action": "CreateInstance"})
    with running(another) as another.url:
        return said(another, ledger, delivery_timeout=0.2, poll_interval=0.1)


OUTPUTS: dict[str, Callable[..., str]] = {
    "buy: nothing was sent, because": mistakes,
    "Perhaps paid, up to 100.00 USD.": an_unknown_outcome,
    "Paid: 100.00 USD, order": a_late_delivery,
}
"""The beginning of a block, and what makes the message that it shows."""
