"""
Fingerprint: a hash in a record of all that is bought, secrets too, so that a change is noticed.

It is a hash that is keyed with the SecretKey. A reader of records has no SecretKey, so passwords cannot be tried on it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.api.json_text import canonical_json

FORM = "hmac-sha256"

_PURPOSE = b"airflow-provider-tcbilling fingerprint"
"""Keeps the key apart from those of signatures, which are derived from the SecretKey too."""


class Seal:
    """Seals fingerprints with one SecretKey. No SecretKey can be found from what it makes."""

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(errors="surrogatepass"), _PURPOSE, "sha256")
        self._name = hmac.digest(self._key, b"name", "sha256").hex()[:16]

    def sealed(self, fingerprint: str) -> str:
        """Return the form that is stored, with a name of the key in it; one that is sealed already stays as it is."""
        if fingerprint.startswith(f"{FORM}:"):
            return fingerprint
        seal = hmac.digest(self._key, fingerprint.encode(errors="surrogatepass"), "sha256").hex()
        return f"{FORM}:{self._name}:{seal}"


def fingerprint_of(action: str, payload: Mapping[str, Any]) -> str:
    """Return the plain hash of what is bought, as records of version 1 have it. The client token is no part of it."""
    return hashlib.sha256(canonical_json([action, dict(payload)]).encode()).hexdigest()


def is_same(stored: str, sealed: str) -> bool | None:
    """Whether a stored fingerprint is of the same purchase; ``None`` if nothing tells, as another key has sealed it."""
    if stored != sealed and stored.startswith(f"{FORM}:"):
        return None if stored.rpartition(":")[0] != sealed.rpartition(":")[0] else False
    return stored == sealed
