"""Verify: whether a ledger in a database is as it was written: its events, and each purchase beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.text import harmless

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

MOST_SHOWN = 100
"""Flaws that a terminal shows; the JSON has all."""


@dataclass(frozen=True)
class Verified:
    """
    The result.

    :param ledger: The place of the ledger.
    :param chain: Each place at which the chain of events is broken, the first one first.
    :param purchases: Each purchase that is not what its record, its events and its order say.
    """

    ledger: str
    chain: tuple[str, ...]
    purchases: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was changed behind the ledger's back, as far as its events show."""
        return not (self.chain or self.purchases)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "ledger": self.ledger,
            "holds": self.holds,
            "first_broken_event": self.chain[0] if self.chain else None,
            "events": list(self.chain),
            "purchases": list(self.purchases),
        }

    def lines(self) -> Iterator[str]:
        """Yield the result for a terminal."""
        if self.chain:
            yield f"The first broken event: {harmless(self.chain[0])}"
            yield from (f"  and {harmless(flaw)}" for flaw in self.chain[1:MOST_SHOWN])
        else:
            yield "The events are those that were appended."
        yield from (f"Changed: {harmless(flaw)}" for flaw in self.purchases[:MOST_SHOWN])
        if len(self.purchases) > MOST_SHOWN:
            yield f"{len(self.purchases) - MOST_SHOWN} more; --json has all."
        if not self.purchases:
            yield "Each purchase is as its record, its events and its order say."


def verified(store: DatabaseStore) -> Verified:
    """
    Compare the purchases of a ledger with its events. It only reads.

    :raises StoreFailed: The ledger cannot be read.
    """
    from airflow_provider_tcbilling.ledger.database_verify import flaws

    chain = tuple(store.verify_chain())
    return Verified(
        store.about.removeprefix("the "), chain, tuple(store.database.reading(lambda connection: [*flaws(connection)]))
    )
