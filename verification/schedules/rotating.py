"""The world of keys that change: they expire, are refused or not given, and the account behind their source changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.credentials import Credentials, Key
from airflow_provider_tcbilling.api.errors import CredentialsUnavailable
from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.sandbox.faults import Fault
from airflow_provider_tcbilling.sandbox.orders import PlacedOrder
from airflow_provider_tcbilling.sandbox.roles import BUYER, FIRST_ACCOUNT, OTHER_ACCOUNT, OTHER_BUYER, Principal
from verification.schedules.line import Died
from verification.schedules.world import Buyer, World

LIVES = (2.0, 20.0, 120.0, 7200.0)
"""Seconds that a key lives, by the server's clock."""

ROLES = {FIRST_ACCOUNT: BUYER, OTHER_ACCOUNT: OTHER_BUYER}


@dataclass(eq=False)
class Source:
    """
    A source whose keys are of the account that the world is at.

    :param clock: The clock of the process.
    """

    world: Rotating
    clock: Callable[[], float]
    name: str = "tests"
    identity: str = "tests"
    is_lasting: bool = False
    base: None = None

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """Return a new key, or fail, or die."""
        world = self.world
        world.pause("before a key")
        if world.happens(0.1):
            raise CredentialsUnavailable("the source of keys is down")
        account, role = world.uin, ROLES[world.uin]
        life = world.choose(LIVES)
        key = world.sandbox.keys.issue(Principal(account, role, "tests", account), life)
        world.note(f"a key of {account} for {life:.0f} s")
        world.pause("after a key")
        # The source may tell a longer life than the key has, or none at all.
        told = world.choose((life, life, life + 60.0, None))
        return Key(key.secret_id, key.secret_key, key.token, told and self.clock() + told)


class Rotating(World):
    """
    Purchases whose keys change.

    Each process has keys of its own. They expire at random moments, and now and then an administrator lets the source
    give keys of another account. No purchase may be made twice, whichever account pays, and a record must name the
    account that has its order.

    :param seed: Everything follows from it.
    """

    stores: ClassVar[tuple[str, ...]] = ("ledger", "comparing", "database", "database", "task state")
    """All of them remember the account: without a record, a new process has none to compare with."""

    numbers: ClassVar[tuple[int, ...]] = (1, 1, 2)

    def __init__(self, seed: int) -> None:
        self.uin = FIRST_ACCOUNT
        super().__init__(seed)
        self._refuse_only_purchases()
        self._changes = self.choose((0.0, 0.02, 0.1))
        self._expiries = self.choose((0.0, 0.02, 0.1))

    def _refuse_only_purchases(self) -> None:
        """Let no query of the account be refused for good: STS, which would tell the account then, is not played."""
        add = self.sandbox.faults.add

        def limited(wanted: Mapping[str, Any]) -> Fault:
            return add({"action": CREATE_INSTANCE.name, **wanted} if wanted["fault"] == "error" else wanted)

        self.sandbox.faults.add = limited  # type: ignore[method-assign]

    def pause(self, label: str, *, stands_still: bool = True) -> None:
        """Let keys expire, and the account change, wherever a process may be interrupted."""
        if self.happens(self._expiries):
            self.note("all keys expire")
            self.sandbox.keys.expire()
        if self.happens(self._changes):
            self.uin = OTHER_ACCOUNT if self.uin == FIRST_ACCOUNT else FIRST_ACCOUNT
            self.note(f"the source is of account {self.uin}")
        super().pause(label, stands_still=stands_still)

    def _action(self, client: BillingClient, buyer: Buyer) -> MoneyAction:
        client.credentials = Credentials(Source(self, client.clock), clock=client.clock)
        return super()._action(client, buyer)

    def _try(self, buyer: Buyer, try_number: int) -> str:
        """Try a purchase, whose key may be missing before it begins."""
        try:
            return super()._try(buyer, try_number)
        except Died:
            return "died"
        except CredentialsUnavailable as error:
            return f"no key: {error}"

    def _run(self) -> list[str]:
        """Run it, and let a user turn the source back to the account of each purchase that has come to no end."""
        super()._run()
        for buyer in self.buyers:
            record = self._record(buyer)
            if not buyer.order_id and record and record.account:
                self.uin = int(record.account)
                self._start(lambda buyer=buyer: self._tries(buyer, 0), 400.0)  # type: ignore[misc]
                self._until_quiet()
        return list(self._wrong())

    def _faults(self) -> Iterable[str]:
        """Yield nothing: the purchases have not come to their end."""
        return ()

    def _record(self, buyer: Buyer) -> Record | None:
        text, _ = buyer.store.rows.records.get(buyer.name, ("", 0.0))  # type: ignore[attr-defined]
        return Record.from_json(json.loads(text), "here") if text else None

    def _wrong(self) -> Iterable[str]:
        placed: dict[str, tuple[int, PlacedOrder]] = {
            order.order_id: (uin, order)
            for uin, account in self.sandbox.accounts.items()
            for order in account.orders()
            if order.client_token in self._tokens
        }
        if len(placed) > len(self.buyers):
            yield f"{len(placed)} orders for {len(self.buyers)} purchases: {sorted(placed)}"
        returned = [buyer.order_id for buyer in self.buyers if buyer.order_id]
        if len(set(returned)) < len(returned):
            yield f"an order is returned twice: {returned}"
        for buyer in self.buyers:
            yield from self._wrong_with(buyer, placed)
        yield from (f"order {one} is lost" for one in self._lost(placed.keys() - {*returned}))

    def _wrong_with(self, buyer: Buyer, placed: dict[str, tuple[int, Any]]) -> Iterable[str]:
        record = self._record(buyer)
        if buyer.order_id and buyer.order_id not in placed:
            yield f"{buyer.name} returns {buyer.order_id}, which nobody placed here"
        elif buyer.order_id and record and record.account != str(placed[buyer.order_id][0]):
            yield f"{buyer.name} returns an order of {placed[buyer.order_id][0]}, and is of account {record.account}"
        if record is None and any(o.client_token in buyer.tokens for _, o in placed.values()):
            yield f"{buyer.name} has bought, and there is no record"
        if record and record.state is State.DECLINED and not buyer.order_id:
            yield f"{buyer.name} is declined in the end: {buyer.outcomes}"
        if buyer.hangs:
            yield f"{buyer.name} never came to an end: {buyer.outcomes}"
