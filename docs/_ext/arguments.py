"""Arguments: what an operator or a sensor takes, returns and raises, from its signature and its docstring."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

PACKAGE = "airflow_provider_tcbilling"
FIELD = re.compile(r"^:(param|raises|return) ?([\w.]*): (.*(?:\n[ \t]+.*)*)", re.MULTILINE)
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
SEE_ALSO = re.compile(r"^\.\. seealso::.*(?:\n[ \t]+.*)*\n?", re.MULTILINE)
TEMPLATED = "(templated)"
CONFIGURED = {"deferrable": "`[operators] default_deferrable`"}
"""Defaults that the configuration of Airflow decides."""


class Argument(NamedTuple):
    """One argument, each part as it stands in the table."""

    name: str
    type: str
    default: str
    is_templated: bool
    meaning: str


def found(name: str) -> Any:
    """Return what a dotted name names."""
    module, rest = name, list[str]()
    while True:
        try:
            thing: Any = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, attribute = module.rpartition(".")
            rest.insert(0, attribute)
    for attribute in rest:
        thing = getattr(thing, attribute)
    return thing


def ours(kind: type) -> Iterator[type]:
    """Yield a class and what it inherits from within the package."""
    return (one for one in kind.__mro__ if one.__module__.startswith(PACKAGE))


def fields_of(thing: Any, field: str) -> dict[str, str]:
    """Return the fields of a docstring by name, as Markdown."""
    text = inspect.getdoc(thing) or ""
    return {name: markdown(about) for kind, name, about in FIELD.findall(text) if kind == field}


def markdown(text: str) -> str:
    """Return the inline markup of a docstring as Markdown, in one line."""
    return " ".join(ROLE.sub(r"`\1`", text).replace("``", "`").split())


def arguments_of(kind: type) -> list[Argument]:
    """Return each argument of the package's own: those without a default first, then in the order of the classes."""
    meanings: dict[str, str] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for one in ours(kind):
        own = fields_of(one, "param") | (fields_of(vars(one)["__init__"], "param") if "__init__" in vars(one) else {})
        meanings = {**own, **meanings}
        if "__init__" in vars(one):
            parameters = {**dict(signature_of(one)), **parameters}
    held_as = getattr(kind, "held_as", {})
    templated = {*getattr(kind, "template_fields", ())}
    names = list(dict.fromkeys(name for one in ours(kind) for name, _ in signature_of(one)))
    names.sort(key=lambda name: parameters[name].default is not inspect.Parameter.empty)
    return [
        Argument(
            name,
            type_of(parameters[name]),
            default_of(parameters[name]),
            held_as.get(name, name) in templated,
            meanings.get(name, "").replace(TEMPLATED, "").strip(),
        )
        for name in names
    ]


def signature_of(kind: type) -> Iterator[tuple[str, inspect.Parameter]]:
    """Yield the named arguments of a class's own constructor, those of an unpacked typed dictionary included."""
    if "__init__" not in vars(kind):
        return
    for name, parameter in list(inspect.signature(vars(kind)["__init__"]).parameters.items())[1:]:
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            yield name, parameter
        elif "Unpack" in str(parameter.annotation):
            yield from unpacked(kind, str(parameter.annotation))


def unpacked(kind: type, annotation: str) -> Iterator[tuple[str, inspect.Parameter]]:
    """Yield the entries of ``Unpack[X]``. What has a default in a constructor keeps it there."""
    name = re.sub(r".*Unpack\[|\]$|['\"]", "", annotation)
    module = inspect.getmodule(kind)
    typed = getattr(module, name, None)
    for one in reversed(getattr(typed, "__mro__", ()) or ()):
        for entry, hint in getattr(one, "__annotations__", {}).items():
            shown = getattr(hint, "__forward_arg__", hint)
            yield entry, inspect.Parameter(entry, inspect.Parameter.KEYWORD_ONLY, annotation=shown, default=None)


def type_of(parameter: inspect.Parameter) -> str:
    """Return the types, or the texts that stand for the values of an enumeration."""
    if isinstance(parameter.default, enum.Enum):
        return " or ".join(f"`{choice.value}`" for choice in type(parameter.default))
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", str(parameter.annotation))]
    names = [f"`{part}`" for part in parts if part != "None"]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def default_of(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if value is inspect.Parameter.empty:
        return "**required**"
    if parameter.name in CONFIGURED:
        return CONFIGURED[parameter.name]
    shown = value.value if isinstance(value, enum.Enum) else value
    return f"`{shown}`" if shown != "" else '`""`'


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell(part) for part in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def argument_table(kind: type) -> str:
    rows = [
        (f"`{it.name}`" + "<br><small>templated</small>" * it.is_templated, it.type, it.default, it.meaning)
        for it in arguments_of(kind)
    ]
    return table(("Argument", "Type", "Default", "Meaning"), rows)


def summary(kind: type) -> str:
    """Return the docstring without its fields and links, as Markdown."""
    text = FIELD.sub("", SEE_ALSO.sub("", inspect.getdoc(kind) or ""))
    paragraphs = [markdown(part) for part in text.split("\n\n")]
    return "\n\n".join(part for part in paragraphs if part and not part.startswith("The other parameters are"))


def raises_table(kind: type) -> str:
    """Return the exceptions of a task's ``execute``; one that only refers to what it inherits is passed over."""
    documented = (fields_of(vars(one)["execute"], "raises") for one in ours(kind) if "execute" in vars(one))
    rows = next(filter(None, documented), {})
    return table(("The task raises", "Meaning"), [(f"`{name}`", meaning) for name, meaning in rows.items()])
