"""Wallet: the money and the vouchers of an account, and the currency of its prices."""

from __future__ import annotations

from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.options import Options


class Wallet:
    """
    The money of an account, in cents.

    :param options: The amounts at the start, and the share of a price that vouchers may pay.
    """

    def __init__(self, options: Options) -> None:
        self.currency = options.currency
        self.added_cents = self.added_voucher_cents = 0
        """The amount that tests and control calls have added (below 0: taken away) since the start."""
        self._most_voucher_percent = options.voucher_percent
        self._balance_cents, self._voucher_cents = options.balance_cents, options.voucher_cents

    @property
    def balance_cents(self) -> int:
        """Money."""
        return self._balance_cents

    @balance_cents.setter
    def balance_cents(self, cents: int) -> None:
        self.added_cents += cents - self._balance_cents
        self._balance_cents = cents

    @property
    def voucher_cents(self) -> int:
        """Vouchers."""
        return self._voucher_cents

    @voucher_cents.setter
    def voucher_cents(self, cents: int) -> None:
        self.added_voucher_cents += cents - self._voucher_cents
        self._voucher_cents = cents

    def pay(self, cost: int, voucher_cents: int | None = None) -> int:
        """
        Take the cost of an order, and return the part that vouchers paid.

        :param voucher_cents: That part, if the order says it; otherwise vouchers pay as much as they may.
        :raises Refused: There is too little money, or there are too few vouchers. Nothing is taken.
        """
        most = min(self._voucher_cents, cost * self._most_voucher_percent // 100)
        part = most if voucher_cents is None else voucher_cents
        if part > min(self._voucher_cents, cost):
            raise Refused("FailedOperation.BalanceInsufficient", "The account has too few vouchers for that.")
        if cost - part > self._balance_cents:
            raise Refused("FailedOperation.BalanceInsufficient", "The account balance is insufficient.")
        self._voucher_cents -= part
        self._balance_cents -= cost - part
        return part

    def give_back(self, cents: int) -> None:
        """Return the money of an order. Vouchers do not come back."""
        self._balance_cents += cents
