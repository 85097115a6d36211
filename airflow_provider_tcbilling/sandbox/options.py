"""Options: how one sandbox behaves, as its command line or a test chooses."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.actions import REQUESTS_PER_SECOND
from airflow_provider_tcbilling.api.sts_actions import DEFAULT_DURATION, LONGEST_DURATION
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.limits import MAX_TEXT, YEAR, Range, is_text
from airflow_provider_tcbilling.sandbox.prices import Price
from airflow_provider_tcbilling.sandbox.roles import BUYER, OTHER_BUYER, Role, role_named

FORGET_AFTER = "forget-after:"
FROM_EXPIRY, FROM_NOW = "from-expiry", "from-now"

EXPIRED_KEY = ("AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound")
"""The error codes for an expired key. The real one is not documented."""

_SECONDS = Range(0, 10 * YEAR)
_COUNT = Range(0, 1_000_000, is_whole=True)
_CENTS = Range(0, 10**15, is_whole=True)
LIMITS: Mapping[str, Range] = {
    "delivery_looks": _COUNT,
    "delivery_seconds": _SECONDS,
    "balance_cents": _CENTS,
    "price_cents": _CENTS,
    "voucher_cents": _CENTS,
    "voucher_percent": Range(0, 100, is_whole=True),
    "rate_limit": _COUNT,
    "suborder_quantity": _COUNT,
    "key_seconds": Range(1, LONGEST_DURATION, is_whole=True),
}
"""The options that are numbers, and which numbers each can be."""


@dataclass(frozen=True)
class Tokens:
    """
    The server's rule for a client token that was sent before. The real rule is not documented.

    :param repeat: ``honour`` answers with the order that the token bought, ``ignore`` buys again, ``reject-repeat``
        answers with an error.
    :param remembered_seconds: How long a token is remembered; ``None`` is for ever.
    """

    repeat: str = "honour"
    remembered_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.remembered_seconds is not None:
            _SECONDS.check("remembered_seconds", self.remembered_seconds)

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Read ``honour``, ``forget-after:SECONDS``, ``ignore`` or ``reject-repeat``."""
        if text.startswith(FORGET_AFTER):
            return cls("honour", reader_of(_SECONDS)(text[len(FORGET_AFTER) :]))
        if text not in ("honour", "ignore", "reject-repeat"):
            raise argparse.ArgumentTypeError(f"{text!r} is not honour, forget-after:SECONDS, ignore or reject-repeat")
        return cls(text)

    def __str__(self) -> str:
        return self.repeat if self.remembered_seconds is None else f"{FORGET_AFTER}{self.remembered_seconds:g}"


@dataclass(frozen=True)
class Options:
    """
    The options of a sandbox.

    :param delivery_looks: How many queries of the order book show an order under way before one shows it delivered.
    :param delivery_seconds: How long delivery takes at least, on the sandbox's clock.
    :param balance_cents: Money on the account at the start.
    :param price_cents: The price of one instance a month. Invented: the API has no price list.
    :param prices: The prices of some orders instead; of several that count, the last one wins.
    :param currency: The currency of the account.
    :param rate_limit: Requests a second for each action; 0 is no limit.
    :param session_token: The only right value of ``X-TC-Token``; empty for a permanent key.
    :param voucher_cents: Vouchers on the account at the start. They are used before money.
    :param voucher_percent: The part of a price that vouchers pay at most.
    :param suborder_quantity: The most instances of a sub-order: a purchase of more is several sub-orders of one big
        deal. 0 is one sub-order, whatever the quantity.
    :param isolated_renewal: Whether the renewal of an expired instance counts ``from-expiry`` or ``from-now``, which
        is the moment of its delivery.
    :param seed: Makes the numbers of orders, instances and requests repeatable. ``None`` takes other ones at each
        start, so records that outlive a sandbox own none of the next one's orders.
    :param zone: Zone in which times are written, which the real service does not document.
    :param other_secret_id: The permanent key of the second account.
    :param other_secret_key: Its secret.
    :param roles: The roles of both accounts. Of two with one name in one account, the last one counts.
    :param machine_role: Name or ARN of the role that the metadata service gives keys of; empty for none, and ``None``
        for the first role.
    :param key_seconds: The life of the keys that the metadata service gives.
    :param expired_key: The error code for an expired key.
    """

    secret_id: str = "AKIDSANDBOX"
    secret_key: str = "sandbox-key"
    session_token: str = ""
    delivery_looks: int = 0
    delivery_seconds: float = 0.0
    balance_cents: int = 1_000_000
    price_cents: int = 10_000
    prices: tuple[Price, ...] = ()
    currency: str = "USD"
    voucher_cents: int = 0
    voucher_percent: int = 100
    suborder_quantity: int = 0
    isolated_renewal: str = FROM_EXPIRY
    rate_limit: int = REQUESTS_PER_SECOND
    tokens: Tokens = Tokens()
    seed: int | None = None
    zone: str = "Asia/Shanghai"
    other_secret_id: str = "AKIDSANDBOXOTHER"
    other_secret_key: str = "sandbox-other-key"
    roles: tuple[Role, ...] = (BUYER, OTHER_BUYER)
    machine_role: str | None = None
    key_seconds: int = DEFAULT_DURATION
    expired_key: str = EXPIRED_KEY[0]

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            limit.check(name, getattr(self, name))
        check_currency(self.currency)
        if self.expired_key not in EXPIRED_KEY:
            raise WrongControl(f"expired_key must be one of {', '.join(EXPIRED_KEY)}")
        _ = self.role_of_machine

    @property
    def roles_by_arn(self) -> dict[str, Role]:
        """The roles that count."""
        return {role.arn: role for role in self.roles}

    @property
    def role_of_machine(self) -> Role | None:
        """The role that the metadata service gives keys of at the start."""
        roles = list(self.roles_by_arn.values())
        if self.machine_role is None:
            return roles[0] if roles else None
        return role_named(self.machine_role, roles)


_NUMBERS: Mapping[str, tuple[str, str, str]] = {
    "--delivery-looks": (
        "delivery_looks",
        "N",
        "queries of the order book that show an order under way before one shows it delivered",
    ),
    "--delivery-seconds": ("delivery_seconds", "T", "least time that delivery takes"),
    "--balance": ("balance_cents", "CENTS", "money on the account"),
    "--vouchers": ("voucher_cents", "CENTS", "vouchers on the account, which are used before money"),
    "--voucher-percent": ("voucher_percent", "N", "the part of a price that vouchers pay at most"),
    "--suborder-quantity": (
        "suborder_quantity",
        "N",
        "the most instances of a sub-order, 0 for one sub-order whatever the quantity",
    ),
    "--rate-limit": ("rate_limit", "N", "requests a second for each action, 0 for no limit"),
    "--key-seconds": ("key_seconds", "T", "the life of the keys that the metadata service gives"),
}
"""The flags for numbers: the option, the placeholder and the help of each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line, with their defaults."""
    default = Options()
    parser.add_argument("--secret-id", default=default.secret_id, help="the permanent key (%(default)s)")
    parser.add_argument("--secret-key", default=default.secret_key, help="the key's secret (%(default)s)")
    parser.add_argument("--session-token", default=default.session_token, help="expect a temporary key's token")
    for flag, (name, metavar, text) in _NUMBERS.items():
        parser.add_argument(
            flag,
            dest=name,
            type=reader_of(LIMITS[name]),
            default=getattr(default, name),
            metavar=metavar,
            help=f"{text} (%(default)s)",
        )
    parser.add_argument(
        "--price",
        dest="prices",
        action=_OneMore,
        type=_price,
        default=default.prices,
        metavar="JSON",
        help='a price, such as {"product_code": "p_waf", "cents": 900}; can be repeated; the last that counts wins',
    )
    parser.add_argument("--currency", default=default.currency, help="the currency of the account (%(default)s)")
    parser.add_argument(
        "--tokens",
        type=Tokens.parse,
        default=default.tokens,
        metavar="RULE",
        help="honour, forget-after:SECONDS, ignore or reject-repeat (%(default)s)",
    )
    parser.add_argument(
        "--isolated-renewal",
        choices=(FROM_EXPIRY, FROM_NOW),
        default=default.isolated_renewal,
        help="the start of the renewal of an expired instance (%(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=default.seed,
        help="makes all numbers and ids repeatable; without it they differ from one start to the next",
    )
    _add_key_arguments(parser, default)


def _add_key_arguments(parser: argparse.ArgumentParser, default: Options) -> None:
    for name, text in (("other-secret-id", "the permanent key"), ("other-secret-key", "the secret of the key")):
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", default=value, help=f"{text} of the second account (%(default)s)")
    parser.add_argument(
        "--role",
        dest="roles",
        action=_OneMore,
        type=_role,
        default=default.roles,
        metavar="JSON",
        help='one more role, such as {"name": "reader", "denied": ["CreateInstance"]}; can be repeated',
    )
    parser.add_argument(
        "--machine-role",
        default=default.machine_role,
        metavar="NAME",
        help="the role that the metadata service gives keys of, by name or ARN; empty for none (buyer)",
    )
    parser.add_argument(
        "--expired-key",
        choices=EXPIRED_KEY,
        default=default.expired_key,
        help="the error code for an expired key (%(default)s)",
    )


class _OneMore(argparse.Action):
    """Adds a value to a tuple."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), values))


def check_currency(value: Any) -> None:
    """
    Refuse a value that the sandbox does not write as a currency.

    :raises WrongControl: It is none.
    """
    if not is_text(value):
        raise WrongControl(f"currency must be a text of at most {MAX_TEXT} characters")


def _price(text: str) -> Price:
    try:
        return Price.parse(text)
    except WrongControl as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _role(text: str) -> Role:
    try:
        return Role.parse(text)
    except WrongControl as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def reader_of(limit: Range) -> Callable[[str], float]:
    """Return the reader of a number on the command line."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        value = int(number) if limit.is_whole and number.is_integer() else number
        if not limit.has(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {limit}")
        return value

    return read
