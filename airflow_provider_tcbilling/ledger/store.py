"""
Store: the interface of all that remembers purchases, and the part that all stores share.

A subclass writes four methods, which read, create, replace and list texts, and :meth:`Store.location`. This class makes
JSON of records, reads it carefully, and turns whatever goes wrong into errors that say what it means for the money.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.prices import Acceptance, Price

if TYPE_CHECKING:
    from airflow_provider_tcbilling.purchasing.approval import Approval
    from airflow_provider_tcbilling.purchasing.limits import Limit
    from airflow_provider_tcbilling.purchasing.reservation import Reservation, Usage

T = TypeVar("T")

Text = str | bytes
"""A record as it is stored: JSON in UTF-8."""

MARGIN = 5 * 86_400.0
"""
Seconds. A record that was not changed for so long before a purchase began belongs to nothing that is under way: the
longest lease, with time-outs of a day each, is shorter, and no two clocks that a purchase tolerates differ by as much.
"""


class Store(ABC):
    """
    The memory of purchases. One store may serve any number of purchases, processes and machines at once.

    Its answers decide how a purchase guards itself. Answer yes only to what holds in every case, also for two
    machines in the same millisecond: a wrong yes can pay twice, a wrong no costs a pause.
    """

    about: str = "a store"
    """The store, for a user: ``the ledger s3://...``."""

    keeps_records: ClassVar[bool] = True
    """There is a record that a user can read and restore."""

    is_shared: bool = False
    """It remembers the purchases of all runs and tasks, so that one purchase sees the others."""

    replaces_conditionally: bool = False
    """:meth:`_replace` compares and stores in one step: of two processes that take over, one is refused."""

    pause_seconds: ClassVar[float] = 2.0
    """
    How long a process that begins or takes over waits to see whether another one does the same, where the store does
    not refuse one of two. A process that needs longer for its own change gives it up, so a slow store needs more.
    """

    has_clock: ClassVar[bool] = False
    """:meth:`now` is one clock for all machines, so deadlines in records need no margin for clocks that differ."""

    @property
    def creates_exclusively(self) -> bool:
        """Of two processes that create one record at the same moment one is refused."""
        return False

    @property
    def counts_money(self) -> bool:
        """It checks a reservation and stores an intent in one step, so it can hold a spending limit."""
        return False

    @property
    def assigns_orders(self) -> bool:
        """:meth:`assign` gives an order to one purchase only, whichever process asks."""
        return False

    @property
    def complete_since(self) -> float:
        """
        Epoch seconds from when on no intent is missing: a purchase without a record has sent nothing since then.

        Infinity, the default, is for a store that may have lost a record. A try that may have been preceded by an
        earlier one queries the order book then, although there is no record.
        """
        return math.inf

    def complete_since_for(self, placed_by: Mapping[str, Any]) -> float:
        """
        Return :attr:`complete_since` for the purchases of one origin, which may have been remembered elsewhere before.

        :param placed_by: The origin, as its purchases have it in their records.
        """
        return self.complete_since

    def now(self) -> float:
        """Return the time in epoch seconds, by which the deadlines of records are written and read."""
        return time.time()

    def price(self, server: str, account: str, price_key: str) -> Price:
        """
        Return what is remembered of a price. A store that does not count money remembers none.

        :param server: The name of the API's server, as :func:`.server_name` gives it.
        :param account: Orders of other accounts do not count; empty counts those of all.
        :raises StoreFailed: It could not be read. Nothing was sent.
        """
        return Price()

    def accept_price(self, server: str, account: str, price_key: str, price: Acceptance) -> None:
        """
        Accept a price that was above its reservation, so that it blocks no further purchase.

        :raises StoreFailed: It could not be written.
        """
        raise StoreFailed(f"{self._about_first} remembers no prices, so none can be accepted.")

    def usage(self, reservation: Reservation) -> Usage:
        """
        Return what counts beside a reservation at this moment. It only reads: a later answer may differ.

        :raises StoreFailed: It could not be read. Nothing was sent.
        """
        raise StoreFailed(f"{self._about_first} counts no money.")

    def open_in(self, reservation: Reservation, limit: Limit) -> Sequence[str]:
        """Return in words the purchases in the window of a limit; those whose price is not known come first."""
        return ()

    def approval(self, code: str) -> Approval | None:
        """
        Return the approval of a code, ``None`` if there is none. Whether it counts, :func:`.refusal_of` says.

        :raises StoreFailed: It could not be read. Nothing was sent.
        """
        return None

    def approve(self, approvals: Sequence[Approval], server: str, account: str) -> None:
        """
        Remember approvals, all of them or none. A later approval of the same code replaces the one before.

        :param account: That of their questions.
        :raises StoreFailed: They could not be written.
        """
        raise StoreFailed(f"{self._about_first} remembers no approvals.")

    def owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        """
        Return the key of the purchase that each order was assigned to; an order of nobody is left out.

        :param server: The name of the API's server, as :func:`.server_name` gives it.
        """
        return {}

    def assign(self, server: str, order_id: str, key: str) -> str:
        """
        Assign an order to a purchase for ever, unless it is another's; return the key of the purchase that has it.

        :raises StoreFailed: It could not be written, or its outcome is unknown.
        """
        raise NotImplementedError(f"{self.about} assigns no orders")

    @abstractmethod
    def location(self, key: str) -> str:
        """Return the place of a record, for a user: an address, a file, a row."""

    @abstractmethod
    def _get(self, key: str) -> Text | None:
        """Return the text of a record; ``None`` if there surely is none."""

    @abstractmethod
    def _create(self, key: str, text: str) -> bool:
        """Store the first text of a key, whole or not at all. Return False, and store nothing, if there is one."""

    @abstractmethod
    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        """
        Store a text in place of the one before; a reader sees the one or the other.

        :param expected: The text that :meth:`_get` gave. A store that ``replaces_conditionally`` returns False, and
            stores nothing, if there is another one by now. ``None`` replaces whatever is there.
        """

    def _reserve(self, key: str, text: str, expected: Text | None, reservation: Reservation) -> bool:
        """
        Store as :meth:`_replace` does, or as :meth:`_create` if nothing is expected, if a reservation holds.

        A store that counts money checks the reservation and stores the text in one step.
        """
        raise StoreFailed(f"{self._about_first} counts no money, so nothing was sent.")

    @property
    def _about_first(self) -> str:
        return self.about[:1].upper() + self.about[1:]

    @abstractmethod
    def _list(self) -> Iterable[tuple[str, Text]]:
        """Yield the location and the text of each record; of one that cannot be read an empty text."""

    def options(self, key: str) -> str:
        """Return the options that name a purchase on the command line."""
        return ""

    def text(self, key: str) -> Text | None:
        """
        Return the text of a record, ``None`` if there is none.

        :raises StoreFailed: It could not be read. Nothing was sent.
        """
        return self._tried(key, lambda: self._get(key))

    def read(self, key: str) -> Any:
        """
        Return the JSON value of a record, ``None`` if there is none.

        :raises InvalidRecord: It is not JSON.
        :raises StoreFailed: It could not be read. Nothing was sent.
        """
        text = self.text(key)
        return None if text is None else self.value_of(key, text)

    def value_of(self, key: str, text: Text) -> Any:
        """
        Return the JSON value of a text that was read.

        :raises InvalidRecord: It is not JSON.
        """
        try:
            return json_of(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRecord(self.location(key), f"it is not JSON ({len(text)} bytes)") from error

    def create(self, key: str, record: Mapping[str, Any], reservation: Reservation | None = None) -> bool:
        """
        Store the first record of a purchase; return False, and store nothing, if there is one.

        :param reservation: Must hold in the moment in which the record is stored.
        :raises MoneyRefused: The reservation does not hold. Nothing was stored.
        :raises StoreFailed: It could not be written, or its outcome is unknown.
        """
        if reservation:
            return self._tried(key, lambda: self._reserve(key, _text(record), None, reservation))
        return self._tried(key, lambda: self._create(key, _text(record)))

    def replace(
        self,
        key: str,
        record: Mapping[str, Any],
        expected: Text | None = None,
        reservation: Reservation | None = None,
    ) -> bool:
        """
        Store a record in place of the one before.

        :param expected: The text before, from :meth:`text`. Where the store ``replaces_conditionally``, another text
            stays, and False is returned. ``None`` replaces whatever is there.
        :param reservation: Must hold in the moment in which the record is stored, in place of an expected one.
        :raises MoneyRefused: The reservation does not hold. Nothing was stored.
        :raises StoreFailed: It could not be written, or its outcome is unknown.
        """
        if reservation:
            return self._tried(key, lambda: self._reserve(key, _text(record), expected, reservation))
        return self._tried(key, lambda: self._replace(key, _text(record), expected))

    def all(self) -> Iterator[tuple[str, Any]]:
        """
        Yield the location and the JSON value of each record; of a damaged one its text.

        :raises StoreFailed: The store cannot be read.
        """
        for location, text in self._tried("", lambda: list(self._list())):
            yield location, _value(text)

    def others(self, key: str, since: float = -math.inf, order_ids: Collection[str] = ()) -> Iterator[tuple[str, Any]]:
        """
        Yield the records of other purchases that matter for one: its own is left out, and more may be yielded.

        :param since: Epoch seconds. A record that was not changed since five days before may be left out, unless it
            owns one of the orders.
        :param order_ids: Orders whose owner is searched.
        :raises StoreFailed: The store cannot be read.
        """
        own = self.location(key)
        found = self._tried("", lambda: list(self._list_changed(since - MARGIN, order_ids)))
        return ((location, _value(text)) for location, text in found if location != own)

    def _list_changed(self, since: float, order_ids: Collection[str]) -> Iterable[tuple[str, Text]]:
        """
        Yield as :meth:`_list` does, and leave out what did not change since a moment and owns none of the orders.

        A store that can do so without reading each record overrides it.
        """
        return self._list()

    def possible(
        self, *, token: str = "", dag_id: str = "", order_ids: Collection[str] = ()
    ) -> Iterator[tuple[str, Any]]:
        """
        Yield the records that may have a client token, be of a DAG, or own one of some orders. More may be yielded.

        :param token: Exactly one of the three is given.
        :raises StoreFailed: The store cannot be read.
        """
        found = self._tried("", lambda: list(self._list_possible(token, dag_id, order_ids)))
        return ((location, _value(text)) for location, text in found)

    def _list_possible(self, token: str, dag_id: str, order_ids: Collection[str]) -> Iterable[tuple[str, Text]]:
        """
        Yield as :meth:`_list` does, and leave out what surely does not match.

        A store that can do so without reading each record overrides it.
        """
        return self._list()

    def _tried(self, key: str, use: Callable[[], T]) -> T:
        try:
            return use()
        except TcBillingError:
            raise
        except Exception as error:
            place = self.location(key) if key else self.about
            raise StoreFailed(f"The record of the purchase ({place}) cannot be read or written: {error!r}") from error


def _value(text: Text) -> Any:
    """Return the JSON value of a text, or the text if it is damaged."""
    try:
        return json_of(text)
    except (ValueError, RecursionError):
        return text


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2) + "\n"


class NoStore(Store):
    """Remembers nothing: where neither a ledger nor a task state store is at hand."""

    about = "nothing"
    keeps_records = False

    def location(self, key: str) -> str:
        """Return that there is no record."""
        return "no record is kept"

    def _get(self, key: str) -> None:
        return None

    def _create(self, key: str, text: str) -> bool:
        return True

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        return True

    def _list(self) -> Iterable[tuple[str, Text]]:
        return ()
