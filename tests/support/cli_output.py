"""What the tests of the commands share."""

from __future__ import annotations

import importlib.util
import json

from tests.support.shop import (
    KEY,
)

HAS_TASK_STATE = importlib.util.find_spec("airflow.models.task_state_store") is not None


def explained(run, *how):
    code, out, err = run("explain", *(how or ("--key", KEY)), "--json")
    assert code == 0, err
    return json.loads(out)
