"""Import: take the records of a folder or a bucket into a ledger in a database. Each record is taken once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.lookup import Refused, reading
from airflow_provider_tcbilling.hooks.connection import ledger_mistakes
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, OrderIsAnothers
from airflow_provider_tcbilling.purchasing.record import FORMAT, VERSION, Record

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore

NAMED = 20
"""Objects that are named for each reason; the rest is counted. ``--json`` names all."""

BESIDE = (".identity", ".owner", ".claim", ".draft", ".canary")
"""How the names of objects end that a ledger keeps beside its records."""


class Fate(Enum):
    """The fate of an object, in the words of the answer."""

    TAKEN = "taken"
    THERE = "in the ledger already"
    DIFFERS = "left: the ledger has another record of the same purchase"
    OWNED = "left: its order belongs to another purchase of the ledger"
    MISPLACED = "left: it has the name of another purchase"
    NEWER = "left: a newer release wrote it"
    DAMAGED = "left: it is damaged"
    FOREIGN = "left: it is no record"

    @property
    def is_left(self) -> bool:
        """Whether the ledger does not have it."""
        return self not in (Fate.TAKEN, Fate.THERE)

    @property
    def may_be_a_purchase(self) -> bool:
        """Whether it may be a purchase that the ledger does not have."""
        return self.is_left and self is not Fate.FOREIGN


@dataclass
class Import:
    """The result of an import: the names of the objects, and why they were left, by their fate."""

    objects: dict[Fate, list[tuple[str, str]]] = field(default_factory=dict)

    def note(self, name: str, fate: Fate, why: str = "") -> None:
        """Note the fate of an object."""
        self.objects.setdefault(fate, []).append((name, why))

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left that may be a purchase."""
        return not any(fate.may_be_a_purchase for fate in self.objects)

    def lines(self, place: str) -> list[str]:
        """Return the result for a terminal: what was taken, what was there, and what was left, by name."""
        return [line for fate in Fate for line in self._lines_of(fate)] + [self._summary(place)]

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        named = {
            fate.name.lower(): [{"object": name, "why": why} for name, why in self.objects.get(fate, [])]
            for fate in Fate
            if fate.is_left
        }
        return {**{fate.name.lower(): len(self.objects.get(fate, [])) for fate in Fate if not fate.is_left}, **named}

    def _lines_of(self, fate: Fate) -> list[str]:
        objects = self.objects.get(fate, [])
        if not objects:
            return []
        names = [f"  {harmless(f'{name}: {why}' if why else name)}" for name, why in objects[:NAMED] if fate.is_left]
        more = len(objects) - NAMED
        return [f"{len(objects)} {fate.value}", *names, *([f"  and {more} more"] if fate.is_left and more > 0 else [])]

    def _summary(self, place: str) -> str:
        if self.is_whole:
            return f"{place} has every purchase of the folder."
        return "Something was left that may be a purchase. Look at each one, and import again: nothing is taken twice."


def import_from(uri: str, ledger: DatabaseStore) -> Import:
    """
    Take the records of a folder or a bucket into a ledger.

    A record that the ledger has stays as it is there, so an import changes nothing when it is repeated.

    :param uri: The folder, as ``ledger_uri`` names it.
    :raises Refused: It is no such address, or there is nothing at all.
    :raises StoreFailed: The folder cannot be read, or the ledger cannot be written. Earlier records stay.
    """
    for mistake in ledger_mistakes(uri or "nothing", ""):
        raise Refused(mistake.replace("extra ledger_uri", "FROM"))
    source = reading(uri, lambda: ObjectStore(uri))
    result, records = Import(), dict(source.all())
    others = sorted(set(reading(uri, lambda: _names(uri))) - {_name(location) for location in records})
    if not records and not others:
        raise Refused(f"There is nothing in {harmless(uri)}. Compare the address: a bucket has no empty folders.")
    ledger.identity  # noqa: B018 - a ledger without tables is refused before anything is read from the folder
    for location, stored in records.items():
        result.note(_name(location), *_imported(ledger, source, location, stored))
    for name in others:
        if not name.endswith(BESIDE):
            result.note(name, Fate.FOREIGN)
    return result


def _names(uri: str) -> list[str]:
    """Return the names of all objects of a folder."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    return [path.name for path in ObjectStoragePath(uri).iterdir()]


def _name(location: str) -> str:
    return location.rpartition("/")[2]


def _imported(ledger: DatabaseStore, source: ObjectStore, location: str, stored: Any) -> tuple[Fate, str]:
    """Take one record, and return what became of it, and why it was left."""
    try:
        record = Record.from_json(stored, location)
    except InvalidRecord as error:
        return _unusable(stored), error.reason
    if source.location(record.key) != location:
        return Fate.MISPLACED, f"it names the purchase {record.key}"
    try:
        is_taken = ledger.import_text(record.key, f"{json.dumps(stored, indent=2)}\n")
    except OrderIsAnothers as error:
        return Fate.OWNED, str(error)
    return (Fate.TAKEN, "") if is_taken else _compared(record, stored, ledger)


def _compared(record: Record, stored: Any, ledger: DatabaseStore) -> tuple[Fate, str]:
    """Return whether the ledger has the same record, and if not which of the two is the later one."""
    try:
        there = ledger.read(record.key)
        other = Record.from_json(there, "")
    except InvalidRecord as error:
        if _owns(record, ledger):
            return Fate.THERE, ""  # It was pruned, and its order stays owned.
        return Fate.DIFFERS, f"the record there cannot be used, {error.reason}"
    if there == stored:
        return Fate.THERE, ""
    later = "the ledger" if other.changed_at >= record.changed_at else "the folder"
    return Fate.DIFFERS, f"{record.state.value} here, {other.state.value} there; {later} has the later one"


def _owns(record: Record, ledger: DatabaseStore) -> bool:
    """Whether a ledger has assigned the order of a purchase to it."""
    number = record.order_id
    return number is not None and ledger.owners(server_name(record.endpoint), [number]).get(number) == record.key


def _unusable(stored: Any) -> Fate:
    """Return why an object is not a record of this release."""
    if not isinstance(stored, Mapping) or "format" not in stored:
        return Fate.DAMAGED
    if stored["format"] != FORMAT:
        return Fate.FOREIGN
    version = stored.get("version")
    return Fate.NEWER if isinstance(version, int) and version > VERSION else Fate.DAMAGED
