"""What the tests of arguments share: every task, and its arguments."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
)

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from tests.conftest import ORDER, context_of
from tests.support.account import PRODUCT

INSTANCE = {**PRODUCT, "instance_id": "ins-1"}
SET = {**{name: INSTANCE[name] for name in ("product_code", "region_code", "instance_id")}, "renew_flag": "x"}
GOOD = {
    CreateInstanceOperator: {**ORDER, "deferrable": False},
    RenewInstanceOperator: {**INSTANCE, "deferrable": False},
    RefundInstanceOperator: {**INSTANCE, "confirm": True, "deferrable": False},
    SetRenewalOperator: {**SET, "renew_flag": "NOTIFY_AND_AUTO_RENEW"},
    ApproveSpendingOperator: {"plans": []},
    ExpiringInstancesOperator: {"within": "P14D"},
    InstanceDeliverySensor: {"order_id": "20261125"},
    InstanceExpirySensor: {"within": "P14D"},
}
"""The least that each task needs."""


def ours(kind):
    """Return the classes of the package that say what a kind of tasks takes."""
    return [
        base for base in kind.__mro__ if base.__module__.startswith("airflow_provider_") and "__init__" in vars(base)
    ]


def mistake(kind, **arguments):
    """Return the message of the mistake with which a task ends, made or executed."""
    with pytest.raises((InvalidRequest, AirflowFailException)) as caught:
        kind(task_id="task", **{**GOOD[kind], **arguments}).execute(context_of())
    assert "nothing was " in str(caught.value).lower()
    assert len(str(caught.value)) < 3000
    return str(caught.value)
