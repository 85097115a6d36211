"""MemoryStore: records in the memory of one process, for tests and notebooks."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from airflow_provider_tcbilling.ledger.store import Store, Text


class MemoryStore(Store):
    """
    Records in a dictionary. They end with the process, so it must not remember a purchase that is paid.

    :param texts: The records as JSON text, by key. Stores that are given the same dictionary are one store.
    :param is_shared: It is like a ledger; else like the task state of one task, which sees no other purchase.
    :param replaces_conditionally: It compares and stores in one step, as a database does.
    """

    about = "the memory of this process"
    _lock = threading.Lock()

    def __init__(
        self, texts: dict[str, str] | None = None, *, is_shared: bool = True, replaces_conditionally: bool = False
    ) -> None:
        self.texts: dict[str, str] = {} if texts is None else texts
        self.is_shared = is_shared
        self.replaces_conditionally = replaces_conditionally
        self.is_exclusive = is_shared

    @property
    def creates_exclusively(self) -> bool:
        """Whether of two creations one is refused."""
        return self.is_exclusive

    def location(self, key: str) -> str:
        """Return a name of the record."""
        return f"memory/{key}"

    def options(self, key: str) -> str:
        """Return the option that names the purchase."""
        return f"--key {key}"

    def _get(self, key: str) -> str | None:
        return self.texts.get(key)

    def _create(self, key: str, text: str) -> bool:
        with self._lock:
            if self.creates_exclusively and key in self.texts:
                return False
            self.texts[key] = text
            return True

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        with self._lock:
            if self.replaces_conditionally and expected is not None and self.texts.get(key) != expected:
                return False
            self.texts[key] = text
            return True

    def _list(self) -> Iterable[tuple[str, str]]:
        return [(self.location(key), text) for key, text in self.texts.items()] if self.is_shared else []
