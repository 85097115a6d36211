"""The signature of each class of tasks: an editor shows every argument, and Airflow renders what it names."""

from __future__ import annotations

import inspect
import json
import re
import typing
from datetime import timedelta
from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.task.policies import OnAutoRenew, OnRefusedRun, OnUnknownOutcome
from tests.conftest import ORDER
from tests.task.test_arguments import GOOD, kinds, ours

KINDS = sorted(kinds(), key=lambda kind: kind.__name__)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def parameters_of(kind):
    """Return the arguments that an editor shows for a call of a class."""
    shown = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p for p in shown if p.kind is p.KEYWORD_ONLY}


@every_kind
def test_a_signature_lists_every_argument_of_the_provider_s_own_base_classes_alike(kind):
    shown = parameters_of(kind)

    for base in ours(kind):
        for name, inherited in parameters_of(base).items():
            assert (shown[name].annotation, shown[name].default) == (inherited.annotation, inherited.default), name


@every_kind
def test_every_argument_has_a_type_and_those_with_a_default_accept_it(kind):
    hints = typing.get_type_hints(
        inspect.unwrap(kind.__init__), {**vars(inspect.getmodule(kind)), "timedelta": timedelta}
    )

    for name, parameter in parameters_of(kind).items():
        accepted = typing.get_args(hints[name]) or (hints[name],)
        types = tuple(typing.get_origin(one) or one for one in accepted)
        assert str in types, f"{name}: a template or a param is text"
        assert parameter.default is parameter.empty or isinstance(parameter.default, types), name


@every_kind
def test_every_template_field_is_an_argument_of_the_class(kind):
    """An operator's ``dry_run`` is a method of Airflow's, so the argument is held, and rendered, under another name."""
    attributes = {kind.held_as.get(name, name) for name in parameters_of(kind)}

    assert set(kind.template_fields) <= attributes
    assert len(set(kind.template_fields)) == len(kind.template_fields)


@every_kind
def test_the_docstring_says_what_each_argument_means_once_and_whether_it_is_a_template(kind):
    described = dict(re.findall(r":param (\w+): (.*?)(?=\n\s*:param|\Z)", inspect.getdoc(kind), re.DOTALL))
    templates = {name for name in described if kind.held_as.get(name, name) in kind.template_fields}

    assert set(described) == set(parameters_of(kind))
    assert inspect.getdoc(kind).count(":param ") == len(described)
    assert {name for name, about in described.items() if about.rstrip().endswith("(templated)")} == templates


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_partial_refuses_what_is_no_argument_when_the_dag_is_imported(kind):
    with pytest.raises(TypeError, match="colour"):
        kind.partial(task_id="task", colour="red")


@every_kind
def test_a_default_of_the_dag_reaches_an_argument_of_a_base_class(kind):
    if kind is SpendingOperator:
        return
    with DAG("shop", schedule=None, default_args={"tcbilling_conn_id": "edge"}):
        assert kind(task_id="task", **GOOD[kind]).tcbilling_conn_id == "edge"


@pytest.mark.parametrize("policy", [OnAutoRenew, OnRefusedRun, OnUnknownOutcome])
def test_a_policy_is_its_text(policy):
    for choice in policy:
        assert choice == choice.value == str(choice) == f"{choice}" == policy(choice.value)


@pytest.mark.parametrize("written", [OnAutoRenew.FAIL, "fail", " fail\n"])
def test_a_policy_is_written_as_a_choice_or_as_its_text(written):
    arguments = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
    task = RenewInstanceOperator(task_id="renew", instance_id="i", on_auto_renew=written, **arguments)

    assert task.value_of("on_auto_renew") is OnAutoRenew.FAIL


@pytest.mark.parametrize("written", [OnAutoRenew.RENEW, "{{ params.policy }}"])
def test_a_policy_is_rendered_as_its_text_and_a_param_may_name_it(written):
    arguments = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
    with DAG("shop", schedule=None):
        task = RenewInstanceOperator(task_id="renew", instance_id="i", on_auto_renew=written, **arguments)

    task.render_template_fields({"params": {"policy": "renew"}})

    assert task.value_of("on_auto_renew") is OnAutoRenew.RENEW


def test_a_dag_with_policies_is_stored_and_its_policies_are_text():
    module = import_module("airflow.serialization.serialized_objects")
    kind = getattr(module, "DagSerialization", module.SerializedDAG)
    with DAG("shop", schedule=None) as dag:
        about = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
        RenewInstanceOperator(task_id="renew", instance_id="i", on_auto_renew=OnAutoRenew.FAIL, **about)
        RenewInstanceOperator.partial(task_id="all", on_auto_renew=OnAutoRenew.SKIP, **about).expand(instance_id=["i"])
        CreateInstanceOperator.partial(task_id="buy", on_unknown_outcome=OnUnknownOutcome.REPLAY, **ORDER).expand(
            purchase_key=["a", "b"]
        )

    stored = json.dumps(kind.to_dict(dag))

    assert '"on_auto_renew": "fail"' in stored
    assert '"on_auto_renew": "skip"' in stored
    assert '"on_unknown_outcome": "replay"' in stored
