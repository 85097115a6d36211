"""The actions of the API with their fields, and the states of an order."""

from __future__ import annotations

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import ENDINGS, DealStatus, status_words
from airflow_provider_tcbilling.api.schema import Action, Field
from reference.markdown import table


def parts() -> dict[str, str]:
    """Return every part by its name."""
    return {
        "actions": "\n".join(map(_section, ACTIONS.values())),
        "statuses": table(("Status", "The order is", "The wait"), map(_status, DealStatus)),
    }


def _section(action: Action) -> str:
    fields = [(_name(field), field.about, _limits(field)) for field in action.fields]
    answer = [(_name(field), field.about, field.kind.value) for field in action.answer]
    facts = {"Permission": action.permission, "Sent again?": action.replay.value, "Read from": f"<{action.url}>"}
    return (
        f"## {action.name}\n\n{action.about}\n\n"
        + "".join(f"{name}\n: {fact}\n\n" for name, fact in facts.items())
        + f"{table(('Field', 'Meaning', 'Type and limits'), fields)}\n"
        + table(("In the answer", "Meaning", "Type"), answer)
    )


def _name(field: Field) -> str:
    return f"`{field.name}`{' **R**' if field.required else ''}<br><small>`{field.arg}`</small>"


def _limits(field: Field) -> str:
    limits = (
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
    return "; ".join(filter(None, limits))


def _status(status: DealStatus) -> tuple[str, ...]:
    open_or_done = "**ends, with the instances**; goes on while none is named" if status == 4 else "goes on"
    wait = f"ends: {ENDINGS[status]}" if status in ENDINGS else open_or_done
    return str(int(status)), status_words(status).rpartition(" ")[0], wait
