"""Roles: the identities whose keys are temporary, and the two accounts that they belong to."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.sts_actions import STS_ACTIONS
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.limits import is_text, read_json

FIRST_ACCOUNT, OTHER_ACCOUNT = 100_000_000_001, 100_000_000_002
"""The numbers of the two accounts."""

_ACCOUNTS = (FIRST_ACCOUNT, OTHER_ACCOUNT)
_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_FIRST_ROLE_ID = 4_611_686_018_427_387_904


@dataclass(frozen=True)
class Role:
    """
    One role.

    :param account: The account whose money it spends.
    :param external_id: The text that AssumeRole must name; empty for none.
    :param trusts: The accounts whose keys may assume it.
    :param denied: Actions that it may not call.
    :param web_identity: Whether a token of the identity provider is enough to assume it.
    :param chained: Whether the temporary key of another role may assume it.
    """

    name: str
    account: int = FIRST_ACCOUNT
    external_id: str = ""
    trusts: tuple[int, ...] = _ACCOUNTS
    denied: tuple[str, ...] = ()
    web_identity: bool = True
    chained: bool = True

    def __post_init__(self) -> None:
        for name, (is_right, meaning) in _FIELDS.items():
            if not is_right(getattr(self, name)):
                raise WrongControl(f"{name} of a role must be {meaning}")

    @property
    def arn(self) -> str:
        """The name by which AssumeRole names it."""
        return f"qcs::cam::uin/{self.account}:roleName/{self.name}"

    @property
    def role_id(self) -> int:
        """Its number."""
        return _FIRST_ROLE_ID + zlib.crc32(self.arn.encode())

    @classmethod
    def parse(cls, text: str) -> Role:
        """
        Read a role from JSON, such as ``{"name": "reader", "denied": ["CreateInstance"]}``.

        :raises WrongControl: It has a mistake.
        """
        try:
            wanted = read_json(text.encode())
        except ValueError as error:
            raise WrongControl(f"a role must be a JSON object: {error}") from None
        if not isinstance(wanted, dict) or "name" not in wanted:
            raise WrongControl("a role must be a JSON object with a name")
        if unknown := sorted(set(wanted) - set(_FIELDS)):
            raise WrongControl(f"{', '.join(unknown)}: not known here; there are {', '.join(_FIELDS)}")
        fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in wanted.items()}
        return cls(**fields)


def _all_in(wanted: Any, choices: Any) -> bool:
    return isinstance(wanted, tuple) and all(one in list(choices) for one in wanted)


_ACTIONS = (*ACTIONS, *STS_ACTIONS)
_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda name: isinstance(name, str) and bool(_NAME.fullmatch(name)), "letters, digits and +=,.@_-"),
    "account": (lambda account: account in _ACCOUNTS, " or ".join(map(str, _ACCOUNTS))),
    "external_id": (is_text, "a text"),
    "trusts": (lambda accounts: _all_in(accounts, _ACCOUNTS), f"a list of {', '.join(map(str, _ACCOUNTS))}"),
    "denied": (lambda actions: _all_in(actions, _ACTIONS), f"a list of {', '.join(_ACTIONS)}"),
    "web_identity": (lambda value: isinstance(value, bool), "true or false"),
    "chained": (lambda value: isinstance(value, bool), "true or false"),
}
"""The fields of a role: the check of each, and its values for a message."""


def role_named(wanted: str, roles: Iterable[Role]) -> Role | None:
    """
    Return the role that a name or an ARN names; ``None`` for an empty text.

    :raises WrongControl: There is none.
    """
    # Of two roles with one name, in two accounts, the first one counts.
    named = {text: role for role in reversed([*roles]) for text in (role.name, role.arn)}
    if wanted and wanted not in named:
        raise WrongControl(f"machine_role must be empty or one of {', '.join(named)}")
    return named.get(wanted)


BUYER = Role("buyer")
OTHER_BUYER = Role("other-buyer", OTHER_ACCOUNT)


@dataclass(frozen=True)
class Principal:
    """
    The identity behind a key.

    :param account: The account whose money it spends.
    :param role: ``None`` for the permanent key of the account.
    :param session: Name of the role's session.
    :param applicant: The account that applied for the role's key.
    """

    account: int
    role: Role | None = None
    session: str = ""
    applicant: int = 0

    def __str__(self) -> str:
        return f"{self.account}:{f'role/{self.role.name}' if self.role else 'key'}"

    def may(self, action: str) -> bool:
        """Whether it has the permission for an action."""
        return self.role is None or action not in self.role.denied
