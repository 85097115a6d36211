"""Shelf: a store in memory that notes what it is used for, and fails when it is told to."""

from __future__ import annotations

from airflow_provider_tcbilling.ledger.memory import MemoryStore


class Shelf(MemoryStore):
    """
    A store for tests.

    :param broken: Operations that fail: ``get``, ``create`` or ``replace``; each entry fails once.
    """

    about = "a shelf"

    def __init__(self, texts=None, **options):
        super().__init__(texts, **options)
        self.broken: list[str] = []
        self.used: list[str] = []

    def location(self, key):
        return f"shelf/{key}"

    def _get(self, key):
        self._use("get")
        return super()._get(key)

    def _create(self, key, text):
        self._use("create")
        return super()._create(key, text)

    def _replace(self, key, text, expected):
        self._use("replace")
        return super()._replace(key, text, expected)

    def _use(self, operation):
        self.used.append(operation)
        if operation in self.broken:
            self.broken.remove(operation)
            raise OSError(f"the shelf cannot {operation}")
