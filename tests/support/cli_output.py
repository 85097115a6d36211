"""What the tests of the commands share."""

from __future__ import annotations

import importlib.util
import json

from airflow_provider_tcbilling.cli.command import Group
from airflow_provider_tcbilling.cli.commands import COMMANDS
from tests.support.shop import (
    KEY,
)

HAS_TASK_STATE = importlib.util.find_spec("airflow.models.task_state_store") is not None


def explained(run, *how):
    code, out, err = run("explain", *(how or ("--key", KEY)), "--json")
    assert code == 0, err
    return json.loads(out)


def named(members, above=""):
    """Return each command with its name; one of a group has the name of the group before its own."""
    pairs = []
    for member in members:
        name = f"{above}{member.name}"
        pairs += named(member.commands, f"{name} ") if isinstance(member, Group) else [(name, member)]
    return pairs


EACH_COMMAND = named(COMMANDS)
