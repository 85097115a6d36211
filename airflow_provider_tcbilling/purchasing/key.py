"""The key of a purchase, its business name, and the client token that follows from it."""

from __future__ import annotations

import uuid

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import harmless

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "purchase.airflow-provider-tcbilling")


def key_bytes(purchase_key: str) -> bytes:
    """
    Return a purchase key as it is hashed.

    :raises InvalidRequest: It is not a text that can be written. Nothing was sent.
    """
    try:
        return str.encode(purchase_key)
    except (TypeError, UnicodeEncodeError):
        raise InvalidRequest("The purchase key", [f"{harmless(purchase_key)} cannot be written as text"]) from None


def client_token_for(purchase_key: str, generation: int = 0) -> str:
    """
    Return the client token of a purchase key: 36 ASCII characters, always the same.

    :param generation: How often the purchase was refused, definitely and uncharged.
    :raises InvalidRequest: The key is not a text that can be written. Nothing was sent.
    """
    key_bytes(purchase_key)
    first = uuid.uuid5(_NAMESPACE, purchase_key)
    return str(uuid.uuid5(first, str(generation)) if generation else first)
