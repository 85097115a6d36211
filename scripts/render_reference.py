"""Write the generated parts of docs/*.md, which are marked there; with --check, only name the pages that are stale."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import ENDINGS, DealStatus, status_words
from airflow_provider_tcbilling.api.schema import Action, Field
from airflow_provider_tcbilling.connection import EXTRA_FIELDS
from airflow_provider_tcbilling.sandbox.faults import KINDS

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
PINS = re.compile(r"# Everything for Airflow (\S+) on Python (\S+ to \S+), packages as of (\S+)")
THE_TASK = {  # by (transient, ambiguous)
    (False, False): "fails for good",
    (False, True): "fails for good, and says to look at the orders first",
    (True, False): "is retried",
    (True, True): "is retried, with the same client token",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


def first_words(described: object) -> str:
    return (inspect.getdoc(described) or "").partition("\n\n")[0]


def actions() -> str:
    return "\n".join(map(one_action, ACTIONS.values()))


def one_action(action: Action) -> str:
    fields = [
        (name_of(f), f.kind.value, "" if f.default is None else f"`{f.default}`", limits_of(f), f.about)
        for f in action.fields
    ]
    answer = [(name_of(f), f.kind.value, f.about) for f in action.answer]
    return (
        f"## {action.name}\n\n{action.about}\n\n"
        f"Permission\n: {action.permission}\n\nSent again?\n: {action.replay.value}\n\nRead from\n: <{action.url}>\n\n"
        f"{table(('Field', 'Type', 'Default', 'Limits', 'Meaning'), fields)}\n"
        f"{table(('In the answer', 'Type', 'Meaning'), answer)}"
    )


def name_of(field: Field) -> str:
    return f"`{field.name}`{' **R**' if field.required else ''}<br><small>`{field.arg}`</small>"


def limits_of(field: Field) -> str:
    above = "or more" if field.maximum is None else f"to {field.maximum}"
    words = (
        " ".join(f"`{choice}`" for choice in field.choices),
        "" if field.minimum is None else f"{field.minimum} {above}",
        "" if field.max_length is None else f"at most {field.max_length} characters",
        "" if field.max_items is None else f"at most {field.max_items} items",
        "ASCII" if field.is_ascii else "",
        field.pattern_name,
        " ".join(f"`{key}` = `{name}`" for key, name in (field.mirrors or {}).items()),
    )
    return "; ".join(filter(None, words))


def extra_fields() -> str:
    rows = [(f"`{e.name}`", e.type + ", secret" * e.is_secret, e.default, e.about) for e in EXTRA_FIELDS]
    return table(("Name", "Type", "Default", "Meaning"), rows)


def error_classes() -> str:
    kinds = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, errors.TcBillingError)]
    rows = [(f"`{k.__name__}`", THE_TASK[k.transient, k.ambiguous], first_words(k)) for k in kinds[1:]]
    return table(("Error", "The task", "Meaning"), rows)


def error_codes() -> str:
    rows = []
    for code in sorted({*errors.MEANINGS, *errors.BY_CODE, *errors.REFUSALS}, key=str.lower):
        kind, done = errors.error_class(code), "no" if errors.is_refusal(code) else "**perhaps**"
        meaning = errors.MEANINGS.get(code) or ("Refused." if kind is errors.ApiError else first_words(kind))
        rows.append((f"`{code}`", f"`{kind.__name__}`", done, meaning))
    return table(("Code", "Error", "Carried out?", "Meaning"), rows)


def statuses() -> str:
    waits = {status: f"ends: {ENDINGS[status]}" if status in ENDINGS else "goes on" for status in DealStatus}
    waits[DealStatus.DELIVERED] = "**ends, with the instances**; goes on while none is named"
    rows = [(str(int(status)), status_words(status).rpartition(" ")[0], wait) for status, wait in waits.items()]
    return table(("Status", "The order is", "The wait"), [*rows, ("any other", "not described", "goes on, and logs it")])


def faults() -> str:
    rows = [
        (f"`{name}`", kind.part.value, ", ".join(f"`{o}` ({v!r})" for o, v in kind.options.items()), kind.about)
        for name, kind in KINDS.items()
    ]
    return table(("Fault", "Strikes the", "Options (default)", "What it does"), rows)


def sandbox_flags() -> str:
    command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", "--help"]
    shown = subprocess.run(command, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=True)
    return f"```text\n{shown.stdout.partition('options:')[2].strip(chr(10))}\n```\n"


def airflow_lines() -> str:
    pins = [PINS.match(path.read_text()) for path in sorted((ROOT / "requirements").glob("airflow-*.txt"))]
    return table(("Airflow", "Python", "Packages as of"), [found.groups() for found in pins if found])


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part
    for part in (actions, extra_fields, error_classes, error_codes, statuses, faults, sandbox_flags, airflow_lines)
}

if __name__ == "__main__":
    stale = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()
        fresh = PART.sub(lambda found: found[1] + PARTS[found[2]](), text)
        if fresh != text:
            stale.append(str(page.relative_to(ROOT)))
            if "--check" not in sys.argv:
                page.write_text(fresh)
    if stale and "--check" in sys.argv:
        sys.exit(f"Stale: {', '.join(stale)}. Run scripts/render_reference.py")
