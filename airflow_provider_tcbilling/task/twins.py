"""
Twins: tasks of one DAG, and items of one mapped task, whose orders could be taken for each other.

Where no ledger tells whose an order is, a purchase adopts none that may be a twin's. So only what surely differs, in
arguments that an order shows and in values that are plain, is no twin: whatever is not understood may be the same.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.schema import whole_number
from airflow_provider_tcbilling.api.server_time import MONTHS
from airflow_provider_tcbilling.api.text import folded
from airflow_provider_tcbilling.ledger.task_state import is_in_repeated_group, is_mapped, loop_index_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

TWINS = "an identical task of the same DAG"
"""The words of a message for the tasks whose orders match those of a purchase."""

CODES = ("product_code", "sub_product_code", "zone_code", "project_id")
LENGTH = ("period", "period_unit")
"""Arguments that an order shows. The length is compared in months: 1 year is 12 months."""

MOST_ITEMS = 10_000
"""Items of a mapped task that are compared; more of them count as the same."""

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_.-]*")
"""A code, folded. Anything else may be a template, whatever its delimiters are."""

Arguments = Mapping[str, Any]
"""Arguments by name; one that is left out is not known."""


def may_have_twins(task: Any, context: Context, kind: type) -> bool:
    """
    Whether another task of the same DAG, or another item of this one, may place an order that matches one of this task.

    :param task: The task, its templates rendered.
    :param kind: The class of tasks that place such orders.
    """
    mine = {name: getattr(task, name) for name in (*CODES, *LENGTH)}
    if loop_index_of(context) is not None:
        return True
    tasks = list(task.dag.tasks) if task.has_dag() else []
    own = next((one for one in tasks if one.task_id == task.task_id), None)
    if is_mapped(context["ti"]) and _may_have_twin_items(own, mine, context):
        return True
    others = [other for other in tasks if other is not own and _is_of(other, kind)]
    return any(_may_agree(mine, item, other) for other in others for item in _items_of(other))


def _may_have_twin_items(own: Any, mine: Arguments, context: Context) -> bool:
    """Whether another item of the same mapped task may place an order that matches."""
    place: int = context["ti"].map_index or 0
    items: Sequence[Arguments] | None = None
    if not is_in_repeated_group(own):
        with suppress(Exception):  # The output of another task may be anything, and is not always at hand.
            items = _items_in(own.expand_input, context)
    if items is None or place >= len(items):
        return True
    return any(_may_agree(mine, {**mine, **item}, own) for number, item in enumerate(items) if number != place)


def _items_of(task: Any) -> Sequence[Arguments]:
    """Return the arguments of a task that is not rendered, once for each of its items."""
    fixed = getattr(task, "partial_kwargs", None)
    if fixed is None:
        return [vars(task)]
    if not isinstance(task.expand_input.value, Mapping):
        return [{}]  # An item may override what is fixed.
    items = _items_in(task.expand_input, None)
    return [fixed] if items is None else [{**fixed, **item} for item in items]


def _items_in(expand_input: Any, context: Context | None) -> Sequence[Arguments] | None:
    """
    Return the expanded arguments of each item, in Airflow's order; ``None`` if they are not known, or too many.

    :param context: With it, the output of other tasks is read as well.
    """
    value = _resolved(expand_input.value, context)
    if isinstance(value, Mapping):
        lists = {name: _resolved(one, context) for name, one in value.items()}
        if not all(isinstance(one, (Sequence, Mapping)) for one in lists.values()):
            return None
        if math.prod(map(len, lists.values())) > MOST_ITEMS:
            return None
        columns = [list(one.items()) if isinstance(one, Mapping) else list(one) for one in lists.values()]
        return [dict(zip(lists, row, strict=True)) for row in itertools.product(*columns)]
    items: list[Any] = list(value) if isinstance(value, Sequence) else [None]
    return items if len(items) <= MOST_ITEMS and all(isinstance(item, Mapping) for item in items) else None


def _resolved(value: Any, context: Context | None) -> Any:
    """
    Return the output of another task in place of what stands for it, anything else as it is.

    In a run that was cleared it may be another one than the items that have bought were made of.
    """
    if not hasattr(value, "iter_references") or context is None:
        return value
    if getattr(context["dag_run"], "clear_number", None) != 0:
        return None
    return list(value.resolve(context))


def _is_of(task: Any, kind: type) -> bool:
    """Whether a task, mapped or not, is of a class, or of one that is not known."""
    its_class = getattr(task, "operator_class", type(task))
    return not isinstance(its_class, type) or issubclass(its_class, kind)


def _may_agree(mine: Arguments, theirs: Arguments, task: Any) -> bool:
    """
    Whether an order of the arguments of a task, which is rendered, may match that of others, which are not.

    :param task: The task of the others.
    """
    pairs = [(_plain(mine[name]), _plain_of(theirs, name, task)) for name in CODES]
    pairs.append((_months(mine), _months(theirs, task)))
    return all(one is None or other is None or one == other for one, other in pairs)


def _plain_of(arguments: Arguments, name: str, task: Any) -> str | None:
    """Return an argument as it is compared, ``None`` if it may be a template or is not known."""
    plain = _plain(arguments.get(name))
    return None if plain is None or _may_be_template(plain, task) else plain


def _plain(value: Any) -> str | None:
    """Return a code or a whole number as it is compared, ``None`` if a value may be more than that."""
    with suppress(ValueError):
        return str(whole_number(value))
    return folded(value) if _PLAIN.fullmatch(folded(value)) else None


def _months(arguments: Arguments, task: Any = None) -> str | None:
    """Return the length in months, as it is compared; ``None`` if it may be a template or is not understood."""
    texts = []
    for name in LENGTH:
        given = arguments.get(name, "")
        given = CREATE_INSTANCE.field(name).default if given is None else given
        plain = _plain(given)
        texts.append(None if plain is None or (task is not None and _may_be_template(plain, task)) else plain)
    number, unit = texts
    months = MONTHS.get(unit or "")
    return str(int(number) * months) if number and number.isdigit() and months else None


def _may_be_template(text: str, task: Any) -> bool:
    """Whether a plain text may be a template all the same: a file's name, or a DAG with delimiters of its own."""
    return bool(getattr(task.dag, "jinja_environment_kwargs", None)) or text.endswith(
        tuple(map(str.lower, task.template_ext))
    )
