"""Secrets that a task was given, told to Airflow's masker, which hides them in logs and rendered fields."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from typing import Any

from airflow_provider_tcbilling.api.masking import is_told_apart, secrets_in

_PLACES = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")
"""Where ``mask_secret`` is: in Airflow 3.1 and newer, in 3.0, in 2.11."""

log = logging.getLogger(__name__)


def mask_in_airflow(value: Any) -> None:
    """Have Airflow mask the secrets of a value from now on, as they are and as JSON writes them. It never raises."""
    try:
        for secret in filter(is_told_apart, secrets_in(value)):
            for text in {secret, json.dumps(secret)[1:-1]}:
                _mask_secret(text)
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
