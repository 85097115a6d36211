"""Twins: a task never takes an order that may be that of another task of its Dag."""

from __future__ import annotations

import itertools
import random

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator, task_group

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.task.twins import MOST_ITEMS
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
@pytest.mark.parametrize("told", MAYBE, ids=lambda told: repr(told).partition(" at 0x")[0][:30])
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
            CreateInstanceOperator.partial(task_id="other", **rest, **fixed).expand(zone_code=["a-1", ZONE])

        assert task.has_twins(context_of()) is expected


def test_a_file_and_delimiters_of_the_dag_s_own_may_be_anything():
    class FromFiles(CreateInstanceOperator):
        template_ext = (".code",)

    assert has_twins({}, {"zone_code": "zone.code"}, FromFiles)
    assert has_twins({}, {"zone_code": "ZONE.CODE"}, FromFiles)
    assert not has_twins({}, {"zone_code": "zone.code"})
    delimiters = {"variable_start_string": "xx", "variable_end_string": "yy"}
    assert has_twins({}, {"zone_code": "xxzoneyy"}, jinja_environment_kwargs=delimiters)


def twins_of_items(expanded, fixed=(), clear_number=0):
    """Return for each item of a mapped task whether it may have a twin."""
    rest = {**{name: value for name, value in ORDER.items() if name not in expanded}, **dict(fixed)}
    with DAG(dag_id="shop", schedule=None):
        mapped = CreateInstanceOperator.partial(task_id="buy", **rest).expand(**expanded)
    rows = list(itertools.product(*expanded.values()))
    items = [mapped.unmap(dict(zip(expanded, row, strict=True))) for row in rows]
    contexts = [context_of(map_index=place, clear_number=clear_number) for place in range(len(items))]
    return [item.has_twins(context) for item, context in zip(items, contexts, strict=True)]


A, B = "ap-guangzhou-3", "ap-guangzhou-4"
ITEMS = {
    "zones": ({"zone_code": [A, B]}, {}, [False, False]),
    "one zone twice": ({"zone_code": [A, B, f"{A} "]}, {}, [True, False, True]),
    "a zone of a template may be any": ({"zone_code": [A, B, "{{ params.zone }}"]}, {}, [True, True, True]),
    "names that an order does not show": ({"purchase_key": ["a", "b"]}, {}, [True, True]),
    "zones, each with two names": ({"purchase_key": ["a", "b"], "zone_code": [A, B]}, {}, [True] * 4),
    "zones and projects": ({"zone_code": [A, B], "project_id": ["1", 2]}, {}, [False] * 4),
    "a project in two notations": ({"project_id": [1, "1.0", 2]}, {}, [True, True, False]),
    "products": ({"product_code": ["p_a", "p_b"]}, {}, [False, False]),
    "lengths": ({"period": [1, "12", 24]}, {"period_unit": "m"}, [False, False, False]),
    "a year is twelve months": ({"period": [1, 12], "period_unit": ["m", "y"]}, {}, [False, True, True, False]),
    "a length that is left out": ({"period": [None, 1, 2]}, {}, [True, True, False]),
    "a unit that is not known": ({"period": [1, 2]}, {"period_unit": "d"}, [True, True]),
    "a length of a template": ({"period": [1, "{{ 2 }}"]}, {}, [True, True]),
    "one item": ({"zone_code": [A]}, {}, [False]),
    "too many to compare": ({"zone_code": [f"z-{n}" for n in range(MOST_ITEMS + 1)]}, {}, None),
}


@pytest.mark.parametrize(("expanded", "fixed", "expected"), ITEMS.values(), ids=ITEMS)
def test_items_of_a_mapped_task_that_surely_differ_are_no_twins(expanded, fixed, expected):
    if expected is None:
        expanded = {name: values[:3] for name, values in expanded.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_tcbilling.task.twins.MOST_ITEMS", 2)
            assert twins_of_items(expanded, fixed) == [True] * 3
        expected = [False] * 3

    assert twins_of_items(expanded, fixed) == expected


def test_an_item_that_was_expanded_of_another_list_than_today_s_may_have_twins():
    with DAG(dag_id="shop", schedule=None):
        rest = {name: value for name, value in ORDER.items() if name != "zone_code"}
        mapped = CreateInstanceOperator.partial(task_id="buy", **rest).expand(zone_code=[A, B])

    item = mapped.unmap({"zone_code": "ap-guangzhou-7"})

    assert item.has_twins(context_of(map_index=2))
    assert not item.has_twins(context_of(map_index=1))


def test_items_are_lists_of_arguments_and_what_they_leave_out_may_be_the_same():
    with DAG(dag_id="shop", schedule=None):
        rest = {name: value for name, value in ORDER.items() if name != "zone_code"}
        rows = [{"zone_code": A}, {"zone_code": B, "period": 2}, {"zone_code": A, "period": 2}, {"zone_code": B}]
        mapped = CreateInstanceOperator.partial(task_id="buy", **rest).expand_kwargs([*rows, {"zone_code": A}])

    has_twins = [mapped.unmap(row).has_twins(context_of(map_index=place)) for place, row in enumerate(rows)]

    assert has_twins == [True, True, True, False]


@pytest.mark.parametrize(("clear_number", "expected"), [(0, [False, False, True]), (1, [True] * 3), (None, [True] * 3)])
def test_the_output_of_another_task_tells_items_apart_unless_a_clear_may_have_changed_it(clear_number, expected):
    class Output:
        def iter_references(self):
            return ()

        def resolve(self, context):
            return iter([A, B, "ap-guangzhou-5", "ap-guangzhou-5"])

    with DAG(dag_id="shop", schedule=None):
        rest = {name: value for name, value in ORDER.items() if name != "zone_code"}
        mapped = CreateInstanceOperator.partial(task_id="buy", **rest).expand(zone_code=[A])
    mapped.expand_input.value["zone_code"] = Output()
    items = [(A, 0), (B, 1), ("ap-guangzhou-5", 2)]
    contexts = [context_of(map_index=place, clear_number=clear_number) for _, place in items]

    found = [mapped.unmap({"zone_code": zone}).has_twins(it) for (zone, _), it in zip(items, contexts, strict=True)]

    assert found == expected


def test_items_of_a_mapped_group_may_be_the_same():
    with DAG(dag_id="shop", schedule=None):

        @task_group
        def each(zone):
            CreateInstanceOperator(task_id="buy", **{**ORDER, "zone_code": zone})

        each.expand(zone=[A, B])
    task = CreateInstanceOperator(task_id="each.buy", **{**ORDER, "zone_code": A})

    assert task.has_twins(context_of(map_index=0))


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
