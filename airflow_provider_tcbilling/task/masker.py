"""Give the secrets of a task to Airflow's masker, which hides them in logs and rendered fields."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from itertools import accumulate
from typing import Any

from airflow_provider_tcbilling.api.masking import is_told_apart, secrets_in

_PLACES = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")
"""Where ``mask_secret`` is: in Airflow 3.1 and newer, in 3.0, in 2.11."""

MOST_SECRETS, MOST_CHARACTERS = 100, 100_000
"""The most secrets of one value, and their characters. With each one Airflow compiles all anew: 1000 take a minute."""

log = logging.getLogger(__name__)


def mask_in_airflow(value: Any) -> None:
    """
    Have Airflow mask the secrets of a value from now on, as they are and as JSON writes them. It never raises.

    Where there are too many, the longest are left out, and the log says so.
    """
    try:
        secrets = sorted(set(filter(is_told_apart, secrets_in(value))), key=len)
        lengths = accumulate(map(len, secrets))
        short = [secret for secret, length in zip(secrets, lengths, strict=True) if length <= MOST_CHARACTERS]
        for secret in short[:MOST_SECRETS]:
            for text in {secret, json.dumps(secret)[1:-1]}:
                _mask_secret(text)
        if left_out := len(secrets) - len(short[:MOST_SECRETS]):
            log.warning(
                "Airflow does not mask %d of the %d secrets of the parameter in its logs: they are too many, or too "
                "long. No record has them.",
                left_out,
                len(secrets),
            )
    except Exception as error:
        log.warning("Airflow does not mask the secrets of the parameter in its logs: %s", type(error).__name__)


def _mask_secret(text: str) -> None:
    for place in _PLACES:
        try:
            mask_secret = import_module(place).mask_secret
        except (ImportError, AttributeError):
            continue
        mask_secret(text)
        return
    raise LookupError("Airflow has no masker")
