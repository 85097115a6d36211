"""Twins: a task never takes an order that may be that of another task of its Dag."""

from __future__ import annotations

import random

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from tests.conftest import ORDER, context_of


class Before(BaseOperator):
    """Any task before a purchase, whose output a purchase may use."""


def has_twins(mine, other, kind=CreateInstanceOperator, **dag):
    """Whether a task with some arguments may have a twin in a task with other ones."""
    with DAG(dag_id="shop", schedule=None, **dag):
        task = CreateInstanceOperator(task_id="buy", **{**ORDER, **mine})
        kind(task_id="other", **{**ORDER, **other})
    return task.has_twins(context_of())


ZONE = ORDER["zone_code"]
MAYBE = [
    *[f"{{{{ '{ZONE}' }}}}", f"{{% if true %}}{ZONE}{{% endif %}}", f"{ZONE}{{# why #}}", "{%- set x = 1 %}"],
    *[f" {ZONE}", f"{ZONE}\n", ZONE.upper(), None, "", [ZONE], {"zone": ZONE}, object(), lambda **context: ZONE],
    *[f"<< {ZONE} >>", "$zone", "[[ zone ]]", "a b", "\u00fc"],
]


@pytest.mark.parametrize("name", ["product_code", "sub_product_code", "zone_code"])
@pytest.mark.parametrize("told", MAYBE, ids=lambda told: repr(told)[:30])
def test_what_may_be_a_template_may_be_the_same(name, told):
    written = told.replace(ZONE, ORDER[name]) if isinstance(told, str) else told
    written = written.replace(ZONE.upper(), ORDER[name].upper()) if isinstance(written, str) else written

    assert has_twins({}, {name: written})


@pytest.mark.parametrize(
    ("mine", "told"),
    [(0, "0"), ("7", 7), (2.0, 2), ("2.0", "2"), (7, " 7 "), (None, 0), (0, None), (7, True), (7, 7.5), (7, "{{ 7 }}")],
)
def test_a_project_may_be_the_same_in_whatever_way_it_is_written(mine, told):
    assert has_twins({"project_id": mine}, {"project_id": told})
    assert has_twins({"project_id": told}, {"project_id": mine}) or told == "{{ 7 }}"


def test_the_output_of_another_task_may_be_the_same():
    with DAG(dag_id="shop", schedule=None):
        before = Before(task_id="before")
        task = CreateInstanceOperator(task_id="buy", **ORDER)
        CreateInstanceOperator(task_id="other", **{**ORDER, "zone_code": before.output})

    assert task.has_twins(context_of())


def test_what_is_mapped_may_be_the_same_and_what_is_fixed_beside_it_may_tell():
    for fixed, expected in (({}, True), ({"project_id": "7"}, False)):
        with DAG(dag_id="shop", schedule=None):
            task = CreateInstanceOperator(task_id="buy", **ORDER, project_id=2)
            rest = {name: value for name, value in ORDER.items() if name != "zone_code"}
            CreateInstanceOperator.partial(task_id="other", **rest, **fixed).expand(zone_code=["a-1", "b-2"])

        assert task.has_twins(context_of()) is expected


def test_a_file_and_delimiters_of_the_dag_s_own_may_be_anything():
    class FromFiles(CreateInstanceOperator):
        template_ext = (".code",)

    assert has_twins({}, {"zone_code": "zone.code"}, FromFiles)
    assert has_twins({}, {"zone_code": "ZONE.CODE"}, FromFiles)
    assert not has_twins({}, {"zone_code": "zone.code"})
    delimiters = {"variable_start_string": "xx", "variable_end_string": "yy"}
    assert has_twins({}, {"zone_code": "xxzoneyy"}, jinja_environment_kwargs=delimiters)


@pytest.mark.parametrize(
    "other",
    [
        {"product_code": "p_other"},
        {"sub_product_code": "sp_other"},
        {"zone_code": "ap-tokyo-1"},
        {"project_id": 7},
        {"project_id": "7.0"},
    ],
)
def test_what_surely_differs_is_no_twin(other):
    assert not has_twins({"project_id": 2}, {"project_id": "2", **other})


def test_no_way_to_write_the_same_hides_a_twin():
    chance = random.Random(16)
    blanks, ways = ("", " ", "\n", "\t"), (str.upper, str.lower, str.title, lambda text: f"{{{{ '{text}' }}}}")
    for _ in range(300):
        other = {
            name: chance.choice(blanks) + chance.choice(ways)(ORDER[name]) + chance.choice(blanks)
            for name in ("product_code", "sub_product_code", "zone_code")
            if chance.random() < 0.7
        }
        number = chance.randrange(9)
        project = chance.choice((number, float(number), f" {number}", f"{number}.0"))
        assert has_twins({"project_id": number}, {**other, "project_id": project}), other


def test_the_order_of_a_twin_that_a_template_hides_is_not_taken(connection, sandbox, passing_time):
    with DAG(dag_id="shop", schedule=None):
        mine = CreateInstanceOperator(task_id="buy", **ORDER, deferrable=False, retries=0)
        other = {**ORDER, "zone_code": "{% if true %}ap-guangzhou-6{% endif %}"}
        CreateInstanceOperator(task_id="other", **other, deferrable=False)
    twin = CreateInstanceOperator(task_id="other", **ORDER, deferrable=False)
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})
    twin_order = twin.execute(context_of(task_id="other"))["order_id"]
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})

    with pytest.raises(AirflowFailException, match="identical task of the same DAG"):
        mine.execute(context_of())

    assert [order.order_id for order in sandbox.account.orders()] == [twin_order]
