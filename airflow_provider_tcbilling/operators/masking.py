"""Secrets that a task was given, told to Airflow's masker, which hides them in logs and rendered fields."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from airflow_provider_tcbilling.api.masking import MASK, secrets_in

_PLACES = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")
"""Where ``mask_secret`` is: since Airflow 3.1, in 3.0, in 2.11."""


def mask_in_airflow(value: Any) -> None:
    """Have Airflow mask the secrets of a value from now on, as they are and as JSON writes them."""
    for secret in secrets_in(value):
        for text in dict.fromkeys((secret, json.dumps(secret)[1:-1])):
            if text.strip() not in ("", MASK):
                _mask_secret(text)


def _mask_secret(text: str) -> None:
    for place in _PLACES:
        try:
            mask_secret = import_module(place).mask_secret
        except (ImportError, AttributeError):
            continue
        mask_secret(text)
        return
