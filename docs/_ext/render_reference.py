"""Write the generated parts of README and docs/**/*.md, marked there, and the pictures; --check names what is stale."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import ENDINGS, DealStatus, status_words
from airflow_provider_tcbilling.api.schema import Action, Field
from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS
from airflow_provider_tcbilling.sandbox.bounds import Range
from airflow_provider_tcbilling.sandbox.faults import KINDS, Kind
from airflow_provider_tcbilling.sandbox.order_book import DISTORTIONS
from airflow_provider_tcbilling.task import failure_message as task_end
from airflow_provider_tcbilling.task import next_steps
from verification.bench import page
from verification.kill_matrix import data, picture, tables

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "_figures"
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
PINS = re.compile(r"# Everything for Airflow (\S+) on Python (\S+ to \S+), packages as of ([0-9-]+)")
THE_TASK = {  # by (transient, ambiguous)
    (False, False): "fails for good",
    (False, True): "fails for good, and says to look at the orders first",
    (True, False): "is retried",
    (True, True): "is retried, with the same client token",
}

ENDED_OTHERWISE = {
    errors.LeftAlone: "is skipped, with the reason",
    errors.RunRefused: 'fails for good, or is skipped with `on_refused_run="skip"`',
    errors.DeliveryTimeout: "fails for good, so that no retry begins with the purchase; a sensor can wait on",
}


def parts() -> dict[str, str]:
    pins = [PINS.match(path.read_text()) for path in sorted((ROOT / "requirements").glob("airflow-*.in"))]
    extras = [(f"`{e.name}`", e.type + ", secret" * e.is_secret, e.default, e.about) for e in EXTRA_FIELDS]
    kinds = [k for k in vars(errors).values() if inspect.isclass(k) and issubclass(k, errors.TcBillingError)][1:]
    endings = [(f"`{kind.__name__}`", the_task(kind), first_words(kind)) for kind in kinds]
    codes = sorted({*errors.MEANINGS, *errors.BY_CODE, *errors.REFUSALS}, key=str.lower)
    return {
        "actions": "\n".join(map(action_section, ACTIONS.values())),
        "extra_fields": table(("Name", "Type", "Default", "Meaning"), extras),
        "error_classes": table(("Error", "The task", "Meaning"), endings),
        "error_steps": table(("Error", "Next", "Next, if it is perhaps paid"), map(error_step, kinds)),
        "steps": table(("The record", "The order book", "Next"), step_rows()),
        "error_codes": table(("Code and error", "Carried out?", "Meaning"), map(code_row, codes)),
        "statuses": table(("Status", "The order is", "The wait"), map(status_row, DealStatus)),
        "faults": table(("Fault", "What it does", "Options (default)", "Strikes the"), map(fault_row, KINDS)),
        "distortions": table(
            ("Distortion", "The order book", "Distorts"),
            [
                (f"`{name}`", one.about, "a field" if one.of_value else "the answer")
                for name, one in DISTORTIONS.items()
            ],
        ),
        "sandbox_flags": sandbox_flags(),
        **tables.parts(),
        **page.parts(),
        "airflow_lines": table(("Airflow", "Python", "Packages as of"), [found.groups() for found in pins if found]),
    }


def the_task(kind: type[errors.TcBillingError]) -> str:
    return ENDED_OTHERWISE.get(kind) or THE_TASK[kind.transient, kind.ambiguous]


def error_step(kind: type[errors.TcBillingError]) -> tuple[str, ...]:
    if issubclass(kind, errors.PurchaseOutcomeUnknown):
        return (f"`{kind.__name__}`", *["[By the record and the order book](explain-and-settle.md#the-next-step)"] * 2)
    error, words = kind.__new__(kind), task_end.WORDS["CreateInstance"]
    ends = (task_end.TaskEnd("", words=words), task_end.TaskEnd("", words=words, in_doubt=True))
    return f"`{kind.__name__}`", *(in_cell(end.template(error)) for end in ends)


def step_rows() -> list[tuple[str, str, str]]:
    """Return a row for each step, with the records and the orders that lead to it."""
    found: dict[tuple[str, str], list[str]] = {}
    for (state, finding), step in next_steps.STEPS.items():
        found.setdefault((state, in_cell(step)), []).append(finding.value)
    states: dict[tuple[str, str], list[str]] = {}
    for (state, step), findings in found.items():
        states.setdefault(("<br>".join(findings), step), []).append(state)
    return [("<br>".join(names), findings, step) for (findings, step), names in states.items()]


def in_cell(step: str) -> str:
    words = {
        "acts": "it BUYS",
        "conn_id": "`CONN_ID`",
        "console": "the console",
        "settle": "settle ...",
        "restore": "settle --restore FILE",
        "decidable": "ten minutes after the first request",
        "replay": "the time that it names",
    }
    lines = step.format_map(words).split("\n")
    return "<br>".join(f"`{line.strip()}`" if line.startswith("  ") else line for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


def first_words(described: object) -> str:
    return (inspect.getdoc(described) or "").partition("\n\n")[0]


def action_section(action: Action) -> str:
    fields = [(name_of(f), f.about, limits_of(f)) for f in action.fields]
    answer = [(name_of(f), f.about, f.kind.value) for f in action.answer]
    facts = {"Permission": action.permission, "Sent again?": action.replay.value, "Read from": f"<{action.url}>"}
    return (
        f"## {action.name}\n\n{action.about}\n\n"
        + "".join(f"{name}\n: {fact}\n\n" for name, fact in facts.items())
        + f"{table(('Field', 'Meaning', 'Type and limits'), fields)}\n"
        + table(("In the answer", "Meaning", "Type"), answer)
    )


def name_of(field: Field) -> str:
    return f"`{field.name}`{' **R**' if field.required else ''}<br><small>`{field.arg}`</small>"


def limits_of(field: Field) -> str:
    words = (
        field.kind.value,
        ", ".join(f"`{choice}`" for choice in field.choices),
        "" if field.minimum is None else f"{field.minimum} {f'to {field.maximum}' if field.maximum else 'or more'}",
        f"at most {field.max_length} characters" if field.max_length else "",
        f"at most {field.max_items} items" if field.max_items else "",
        "ASCII" if field.is_ascii else "",
        field.pattern and field.pattern[1],
        ", ".join(f"`{key}` = `{name}`" for key, name in (field.mirrors or {}).items()),
        "" if field.default is None else f"default `{field.default}`",
    )
    return "; ".join(filter(None, words))


def code_row(code: str) -> tuple[str, ...]:
    kind, done = errors.error_class(code), "no" if errors.is_refusal(code) else "**perhaps**"
    meaning = errors.MEANINGS.get(code) or ("Refused." if kind is errors.ApiError else first_words(kind))
    return f"`{code}`<br><small>`{kind.__name__}`</small>", done, meaning


def status_row(status: DealStatus) -> tuple[str, ...]:
    open_or_done = "**ends, with the instances**; goes on while none is named" if status == 4 else "goes on"
    wait = f"ends: {ENDINGS[status]}" if status in ENDINGS else open_or_done
    return str(int(status)), status_words(status).rpartition(" ")[0], wait


def fault_row(name: str) -> tuple[str, ...]:
    kind = KINDS[name]
    options = ", ".join(f"`{option}` (`{value!r}`{numbers_of(kind, option)})" for option, value in kind.options.items())
    return f"`{name}`", kind.about, options, kind.part.value


def numbers_of(kind: Kind, option: str) -> str:
    limit = kind.limits.get(option)
    return f", {limit.least:,} to {limit.most:,}" if isinstance(limit, Range) else ""


def sandbox_flags() -> str:
    command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", "--help"]
    shown = subprocess.run(command, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=True)
    return f"```text\n{inspect.cleandoc(shown.stdout.partition('options:')[2])}\n```\n"


if __name__ == "__main__":
    fresh = parts()
    results = data.read()
    figures = {FIGURES / f"{name}.svg": picture.draw(results, panels) for name, panels in picture.PICTURES.items()}
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *figures]
    texts = {path: path.read_text() if path.exists() else "" for path in paths}
    written = {path: PART.sub(lambda found: found[1] + fresh[found[2]], text) for path, text in texts.items()}
    written |= figures
    stale = [path for path in paths if written[path] != texts[path]]
    if stale and "--check" in sys.argv:
        sys.exit(
            f"Stale: {', '.join(str(path.relative_to(ROOT)) for path in stale)}. Run docs/_ext/render_reference.py"
        )
    for path in stale:
        path.write_text(written[path])
