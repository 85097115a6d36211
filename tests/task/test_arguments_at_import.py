"""Mistakes in arguments are named when the DAG is imported."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
)

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.arguments import is_true
from tests.conftest import ORDER, context_of
from tests.support.task_arguments import GOOD, INSTANCE, ours

LITERALS = {
    "on_unknown_outcome": "go",
    "replay_window": True,
    "allow_backfill": "yes",
    "max_lateness": "P99999999999D",
    "on_refused_run": "never",
    "wait_for_delivery": 1,
    "deferrable": "on",
    "poll_interval": True,
    "delivery_timeout": "1e400",
}


@pytest.mark.parametrize("kind", [CreateInstanceOperator, RenewInstanceOperator, RefundInstanceOperator])
def test_literal_mistakes_are_told_when_the_dag_is_imported_and_all_at_once(kind):
    with pytest.raises(InvalidRequest) as caught, DAG(dag_id="shop", schedule=None):
        kind(task_id="task", **{**GOOD[kind], **LITERALS})

    assert isinstance(caught.value, ValueError)
    for name, value in LITERALS.items():
        assert f"{name}: {value!r} is not " in str(caught.value)


@pytest.mark.parametrize("kind", [InstanceDeliverySensor, InstanceExpirySensor])
@pytest.mark.parametrize("name", ["deferrable", "poke_interval", "timeout"])
def test_literal_mistakes_of_a_sensor_are_told_when_the_dag_is_imported(kind, name):
    with pytest.raises(InvalidRequest, match=f"wait: nothing was sent, because\n  - {name}: 'later' is not"):
        kind(task_id="wait", **{**GOOD[kind], name: "later"})


def test_literal_mistakes_in_default_args_are_told_too():
    with (
        pytest.raises(InvalidRequest, match="allow_backfill: 'nein' is not True or False"),
        DAG(dag_id="shop", schedule=None, default_args={"allow_backfill": "nein"}),
    ):
        CreateInstanceOperator(task_id="buy", **ORDER)


def test_a_template_where_none_is_rendered_is_told():
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="P1D")
        for number, value in enumerate(("{{ params.n }}", "{% if x %}30{% endif %}", before.output)):
            with pytest.raises(InvalidRequest, match=r"poll_interval: .* is a template, and poll_interval is not temp"):
                CreateInstanceOperator(task_id=f"buy-{number}", **ORDER, poll_interval=value)
            with pytest.raises(InvalidRequest, match=r"timeout: .* is a template, and timeout is not templated"):
                InstanceDeliverySensor(task_id=f"wait-{number}", order_id="1", timeout=value)


def test_a_subclass_may_render_what_this_class_does_not(connection, sandbox):
    class Rendering(CreateInstanceOperator):
        template_fields = (*CreateInstanceOperator.template_fields, "poll_interval")

    task = Rendering(task_id="buy", **ORDER, poll_interval="{{ params.n }}")

    with pytest.raises(AirflowFailException, match="poll_interval: "):
        task.execute(context_of())
    assert sandbox.requests == {}


def test_mapped_literals_are_checked_when_the_task_is_made_of_them():
    with DAG(dag_id="shop", schedule=None):
        mapped = CreateInstanceOperator.partial(task_id="buy", **ORDER).expand(allow_backfill=["true", "yes"])

    assert is_true(mapped.unmap({"allow_backfill": "true"}).allow_backfill)
    with pytest.raises(InvalidRequest, match="allow_backfill: 'yes' is not True or False"):
        mapped.unmap({"allow_backfill": "yes"})


def test_templates_are_not_touched_when_the_dag_is_imported():
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="{{ params.span }}", limit="{{ params.limit }}")
        RenewInstanceOperator(
            task_id="renew",
            **dict.fromkeys(INSTANCE, "{{ params.x }}"),
            expire_time=before.output,
            renew_within=before.output,
            renew_isolated="{{ params.x }}",
            on_auto_renew=before.output,
        )
        InstanceExpirySensor(task_id="wait", within=before.output, name="{{ params.x }}")


@pytest.mark.parametrize("kind", [CreateInstanceOperator, RenewInstanceOperator, RefundInstanceOperator])
def test_what_was_changed_after_the_import_is_checked_again(connection, sandbox, kind):
    task = kind(task_id="task", **GOOD[kind])
    for name, value in LITERALS.items():
        setattr(task, name, value)

    with pytest.raises(AirflowFailException) as caught:
        task.execute(context_of())

    assert all(f"{name}: " in str(caught.value) for name in LITERALS)
    assert sandbox.requests == {}


def readers_in(kind):
    """Yield the names of arguments that a constructor reads, but to store them or hand them on as they are."""
    init = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__))).body[0]
    stored = {
        id(statement.value)
        for statement in ast.walk(init)
        if isinstance(statement, (ast.Assign, ast.keyword)) and isinstance(statement.value, ast.Name)
    }
    for node in ast.walk(init):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in stored:
            yield node.id
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


@pytest.mark.parametrize("kind", GOOD)
def test_a_constructor_stores_its_templates_and_reads_none(kind):
    templates = set(kind.template_fields) | {"dry_run"}

    assert not templates & {name for base in ours(kind) for name in readers_in(base)}
