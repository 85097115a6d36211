"""
Purchase: the rules of buying once.

A purchase has a key, its business name. The client token is derived from the key and from nothing else: not from
the try number, not from a clock, not at random. So whoever runs the same purchase again sends the same token, and a
server that honours tokens answers with the order that exists.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.models import Order

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "purchase.airflow-provider-tcbilling")


def task_run_key(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """
    Return the key of a purchase that happens once in each run of a task; retries and clears keep it.

    :param map_index: Place of a mapped task; ``None`` and -1 both say that it is not mapped.
    """
    return json.dumps([dag_id, run_id, task_id, -1 if map_index is None else map_index])


def client_token_for(purchase_key: str) -> str:
    """Return the client token of a purchase key: 36 ASCII characters, always the same."""
    return str(uuid.uuid5(_NAMESPACE, purchase_key))


@dataclass(frozen=True)
class Purchase:
    """
    One thing to buy, once.

    :param client_token: What makes repeating it harmless on a server that honours tokens.
    :param fields: The other arguments of :meth:`BillingClient.create_instance`.
    """

    client_token: str
    fields: Mapping[str, Any]

    def place(self, client: BillingClient) -> Order:
        """
        Buy it, or find out what an earlier try bought: the server answers the same token with the same order.

        **Money moves in this call.** Errors as in :meth:`BillingClient.create_instance`.
        """
        return client.create_instance(client_token=self.client_token, **self.fields)
