"""How a purchase is named on the command line."""

from __future__ import annotations

import shlex

from airflow_provider_tcbilling.api.text import visible
from airflow_provider_tcbilling.purchasing.key import client_token_for

MAX_KEY_SHOWN = 300
"""Characters of a key in a command; a longer one is named by its client token."""


def options_of(key: str) -> str:
    """Return the options that name a purchase on the command line."""
    if visible(key) != key or len(key) > MAX_KEY_SHOWN:
        return f"--token {client_token_for(key)}"  # The key itself would not stand in one line of a message.
    return f"--key={shlex.quote(key)}" if key.startswith("-") else f"--key {shlex.quote(key)}"
