"""Arguments that rendered to nothing select nothing, and are not left out."""

from __future__ import annotations

import pendulum
import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
)

from airflow_provider_tcbilling.operators._execution import Execution
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.waiting.filters import READERS
from tests.conftest import ORDER, context_of
from tests.support.task_arguments import GOOD, mistake

SELECTING = [
    *[(CreateInstanceOperator, name) for name in ("purchase_key", "client_token", "tcbilling_conn_id")],
    *[(RenewInstanceOperator, name) for name in ("instance_id", "expire_time", "renew_within", "purchase_key")],
    *[(RenewInstanceOperator, name) for name in ("on_auto_renew", "renew_isolated", "product_code", "region_code")],
    *[(RefundInstanceOperator, name) for name in ("instance_id", "confirm", "dry_run", "purchase_key")],
    *[(SetRenewalOperator, name) for name in ("instance_id", "renew_flag", "region_code", "tcbilling_conn_id")],
    *[(ExpiringInstancesOperator, name) for name in ("within", "limit", "tcbilling_conn_id", *READERS)],
    *[(InstanceExpirySensor, name) for name in ("within", *READERS)],
    (InstanceDeliverySensor, "order_id"),
]


@pytest.mark.parametrize(("kind", "name"), SELECTING, ids=lambda it: getattr(it, "__name__", it))
def test_a_template_that_rendered_to_nothing_widens_nothing(connection, sandbox, kind, name):
    for value in ("", "None", " ", "\n", " None "):
        assert f"{name}: " in mistake(kind, **{name: value})
    assert sandbox.requests == {}


@pytest.mark.parametrize("name", ["purchase_key", "client_token"])
def test_a_name_that_is_false_to_python_is_never_no_name(connection, sandbox, name):
    for value in (False, [], {}, 0.0, 2.5, *[0] * (name == "client_token")):
        assert f"{name}: " in mistake(CreateInstanceOperator, **{name: value}), value
    assert sandbox.requests == {}


@pytest.mark.parametrize(("told", "key"), [("k", "k"), (" k\n", "k"), (7, "7"), (0, "0"), ("7.0", "7.0"), ("0", "0")])
def test_a_key_is_what_its_record_has_always_been_called(connection, told, key):
    task = CreateInstanceOperator(task_id="buy", **ORDER, purchase_key=told)
    with task.hook.session() as tencent:
        assert Execution(task, context_of(), tencent).key == key


@pytest.mark.parametrize("name", [name for name in READERS if name != "name"])
@pytest.mark.parametrize("kind", [ExpiringInstancesOperator, InstanceExpirySensor])
def test_a_list_that_turned_out_empty_selects_nothing_and_not_everything(connection, sandbox, kind, name):
    for value in (None, (), [], "[]", "()", set()):
        assert f"{name}: " in mistake(kind, **{name: value})
    assert sandbox.requests == {}


OPTIONAL = [
    *[
        (kind, name)
        for kind in (CreateInstanceOperator, RenewInstanceOperator)
        for name in ("purchase_key", "client_token")
    ],
    *[(RenewInstanceOperator, name) for name in ("expire_time", "renew_within")],
    *[(RefundInstanceOperator, "purchase_key"), (ExpiringInstancesOperator, "limit"), (InstanceExpirySensor, "within")],
]


@pytest.mark.parametrize(("kind", "name"), OPTIONAL, ids=lambda it: getattr(it, "__name__", it))
@pytest.mark.parametrize("is_mapped", [False, True], ids=["alone", "mapped"])
def test_what_was_given_and_turned_out_as_nothing_is_not_left_out(connection, sandbox, kind, name, is_mapped):
    arguments = {**GOOD[kind], name: "{{ none }}"}
    with DAG(dag_id="shop", schedule=None, render_template_as_native_obj=True) as dag:
        if is_mapped:
            mapped = kind.partial(task_id="task", **arguments).expand(tcbilling_conn_id=["tcbilling_default"])
            task = mapped.unmap({"tcbilling_conn_id": "tcbilling_default"})
        else:
            task = kind(task_id="task", **arguments)
    names = kind.template_fields
    task._do_render_template_fields(
        parent=task, template_fields=names, context=context_of(), jinja_env=dag.get_template_env(), seen_oids=set()
    )
    assert getattr(task, name) is None

    with pytest.raises(AirflowFailException, match=f"{name}: given, but its template rendered to None"):
        task.execute(context_of())
    assert sandbox.requests == {}


def test_what_a_task_returned_as_nothing_is_not_left_out(connection, sandbox):
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="P1D")
        task = RenewInstanceOperator(task_id="task", **GOOD[RenewInstanceOperator], renew_within=before.output)
    context = context_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(before.output), "resolve", lambda self, context, *args, **kwargs: None)
        task.render_template_fields(context)

    with pytest.raises(AirflowFailException, match="renew_within: given, but its template rendered to None"):
        task.execute(context)
    assert sandbox.requests == {}


def test_filters_and_an_instance_exclude_each_other(connection, sandbox):
    wait = {"within": None, "instance_id": "ins-1", "expires_after": "2027-01-01"}

    assert "name: goes together with within" in mistake(InstanceExpirySensor, **wait, name="edge-*")


@pytest.mark.parametrize("value", ["now", "12:00", "P1D", "2027-13-01", 5, pendulum.datetime(2027, 1, 1), "9" * 400])
def test_what_is_no_time_is_a_named_mistake(connection, sandbox, value):
    wait = {"within": None, "instance_id": "ins-1", "expires_after": value}

    assert "expires_after: " in mistake(InstanceExpirySensor, **wait)
    assert "expire_time: " in mistake(RenewInstanceOperator, expire_time=value)


@pytest.mark.parametrize("value", [True, 2.5, "a b", {}, ["20261125"]], ids=repr)
def test_what_is_no_number_of_an_order_is_a_named_mistake(connection, sandbox, value):
    assert "order_id: " in mistake(InstanceDeliverySensor, order_id=value)
    assert sandbox.requests == {}
