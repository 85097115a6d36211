"""The alternatives, written as a competent user of the official SDK would write them today."""

from __future__ import annotations

import importlib.util
import json
import time
import uuid
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook, BaseOperator

from verification.kill_matrix.points import ORDER, PRODUCT

HAS_MIXIN = importlib.util.find_spec("airflow.sdk.bases.resumablejobmixin") is not None
"""From Airflow 3.3 on."""

POLL_SECONDS = 1.0
DELIVERED, ENDED_BADLY = 4, (5, 6, 7, 8)


class SdkOperator(BaseOperator):
    """
    Buy with the official SDK, then read the order book until the order is delivered.

    :param parameter: What exactly is bought, as JSON text. (templated)
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    template_fields = ("parameter", "tcbilling_conn_id")

    def __init__(self, *, parameter: str, tcbilling_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parameter = parameter
        self.tcbilling_conn_id = tcbilling_conn_id

    def buy(self, client_token: str) -> dict[str, Any]:
        """Send CreateInstance. **Money moves.**"""
        from tencentcloud.billing.v20180709.models import CreateInstanceRequest

        request = CreateInstanceRequest()
        request.ClientToken, request.PayMode, request.Parameter = client_token, "PrePay", self.parameter
        request.ProductCode, request.SubProductCode = ORDER["product_code"], ORDER["sub_product_code"]
        request.RegionCode, request.ZoneCode = ORDER["region_code"], ORDER["zone_code"]
        answer = client(self.tcbilling_conn_id).CreateInstance(request)
        return {"order_id": answer.OrderId, "instance_ids": list(answer.InstanceIdList or ())}

    def wait(self, order_id: str) -> dict[str, Any]:
        """Read the order book until the order is delivered."""
        return waited_for(self.tcbilling_conn_id, order_id)


class FreshRenewal(BaseOperator):
    """
    Renew with the official SDK, with a token of each attempt's own, then read the order book until it is delivered.

    :param instance_id: The instance. (templated)
    :param period: How many months. (templated)
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    template_fields = ("instance_id", "period", "tcbilling_conn_id")

    def __init__(self, *, instance_id: str, period: str, tcbilling_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.period = period
        self.tcbilling_conn_id = tcbilling_conn_id

    def execute(self, context: Any) -> dict[str, Any]:
        """Renew and wait."""
        from tencentcloud.billing.v20180709.models import RenewInstanceRequest

        request = RenewInstanceRequest()
        request.ClientToken, request.InstanceId, request.Period = str(uuid.uuid4()), self.instance_id, int(self.period)
        request.ProductCode, request.SubProductCode = PRODUCT["product_code"], PRODUCT["sub_product_code"]
        request.RegionCode = PRODUCT["region_code"]
        order_id = client(self.tcbilling_conn_id).RenewInstance(request).OrderIdList[0]
        remembered(context["ti"].xcom_push, key="order_id", value=order_id)
        return waited_for(self.tcbilling_conn_id, order_id)


class FreshToken(SdkOperator):
    """Each attempt makes a token of its own, as the SDK's examples and most code found in public do."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Buy and wait."""
        order = self.buy(str(uuid.uuid4()))
        remembered(context["ti"].xcom_push, key="order_id", value=order["order_id"])
        return self.wait(order["order_id"])


class ConstantToken(SdkOperator):
    """The token follows from the task instance, and the order's number is kept in an XCom."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Take the order from the XCom if it is there, else buy; then wait."""
        ti = context["ti"]
        order_id = ti.xcom_pull(task_ids=ti.task_id, key="order_id", map_indexes=ti.map_index)
        if not order_id:
            order_id = self.buy(token_of(ti))["order_id"]
            remembered(ti.xcom_push, key="order_id", value=order_id)
        return self.wait(order_id)


class Resend(SdkOperator):
    """Sends the purchase again until the answer names the instances, as Tencent's Terraform provider and CLI wait."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Buy until there are instances."""
        while not (order := self.buy(token_of(context["ti"])))["instance_ids"]:
            self.log.info("Order %s is not delivered yet.", order["order_id"])
            pause()
        remembered(context["ti"].xcom_push, key="order_id", value=order["order_id"])
        return order


OPERATORS: dict[str, type[BaseOperator]] = {
    "fresh": FreshToken,
    "constant": ConstantToken,
    "fresh-renews": FreshRenewal,
    "resend": Resend,
}

if HAS_MIXIN:
    from airflow.sdk.bases.resumablejobmixin import ResumableJobMixin

    class Resumable(ResumableJobMixin, SdkOperator):
        """Airflow's own way to survive a crash: the job's id is kept in the task state store. It has no token."""

        external_id_key = "order_id"

        def execute(self, context: Any) -> dict[str, Any]:
            """Let the mixin decide."""
            return dict(self.execute_resumable(context))

        def submit_job(self, context: Any) -> str:
            """Buy."""
            return str(self.buy(self.token(context["ti"]))["order_id"])

        def token(self, ti: Any) -> str:
            """Return a token for an attempt."""
            return str(uuid.uuid4())

        def get_job_status(self, external_id: Any, context: Any) -> str:
            """Return the order's status; one that is not listed yet is open."""
            deal = find_order(client(self.tcbilling_conn_id), external_id)
            return str(deal.Status) if deal else "open"

        def is_job_active(self, status: str) -> bool:
            """Whether the order is open."""
            return not self.is_job_succeeded(status) and status not in map(str, ENDED_BADLY)

        def is_job_succeeded(self, status: str) -> bool:
            """Whether the order is delivered."""
            return status == str(DELIVERED)

        def poll_until_complete(self, external_id: Any, context: Any) -> None:
            """Wait for the order."""
            self.wait(external_id)

        def get_job_result(self, external_id: Any, context: Any) -> dict[str, Any]:
            """Return the order with its instances."""
            return self.wait(external_id)

    class ResumableConstant(Resumable):
        """The same with a constant token, of which a user of the mixin must think."""

        def token(self, ti: Any) -> str:
            """Return a token for all attempts."""
            return token_of(ti)

    OPERATORS |= {"resumable": Resumable, "resumable-constant": ResumableConstant}


def ours(spends: str) -> type[BaseOperator]:
    """Return the provider's own operator."""
    from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
    from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
    from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator

    kinds: dict[str, type[BaseOperator]] = {
        "purchase": CreateInstanceOperator,
        "renewal": RenewInstanceOperator,
        "refund": RefundInstanceOperator,
    }
    return kinds[spends]


def waited_for(conn_id: str, order_id: str) -> dict[str, Any]:
    """Read the order book until the order is delivered."""
    while True:
        deal = find_order(client(conn_id), order_id)
        if deal and deal.Status == DELIVERED:
            return {"order_id": order_id, "instance_ids": list(deal.ResourceId or ())}
        if deal and deal.Status in ENDED_BADLY:
            raise RuntimeError(f"order {order_id} ended with status {deal.Status}")
        pause()


def token_of(ti: Any) -> str:
    """Return the token of a task instance: always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([ti.dag_id, ti.run_id, ti.task_id, ti.map_index])))


def client(conn_id: str) -> Any:
    """Return the SDK's client for a connection."""
    from tencentcloud.billing.v20180709.billing_client import BillingClient
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile

    connection = BaseHook.get_connection(conn_id)
    scheme, _, address = str(connection.host).partition("://")
    profile = ClientProfile(httpProfile=HttpProfile(protocol=scheme, endpoint=address, reqTimeout=10))
    return BillingClient(Credential(connection.login, connection.password), "", profile)


def find_order(sdk: Any, order_id: str) -> Any:
    """Return an order as the order book shows it, ``None`` if it is not listed."""
    from tencentcloud.billing.v20180709.models import DescribeDealsByCondRequest

    request = DescribeDealsByCondRequest()
    now = time.time()
    request.StartTime, request.EndTime = (_local(now + days * 86400) for days in (-30, 2))
    request.Limit, request.OrderId, request.StatusSet = 20, order_id, list(range(1, 13))
    deals = sdk.DescribeDealsByCond(request).Deals or ()
    return next((deal for deal in deals if deal.OrderId == order_id), None)


def remembered(push: Any, **what: Any) -> None:
    """Store what must not be lost. The harness kills after this, once it has happened."""
    push(**what)


def pause() -> None:
    """Wait until it is worth asking again. The harness kills here, too."""
    time.sleep(POLL_SECONDS)


def _local(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
