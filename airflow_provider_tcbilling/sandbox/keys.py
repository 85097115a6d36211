"""Keys: the permanent key of each account, and the temporary keys of roles, which expire on the sandbox's clock."""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.roles import FIRST_ACCOUNT, OTHER_ACCOUNT, Principal, Role, role_named

MOST_ISSUED = 10_000
"""How many temporary keys are remembered. Older ones are forgotten, so their ids are not found."""

_CHARACTERS = string.ascii_letters + string.digits
_ID_LENGTH, _KEY_LENGTH, _TOKEN_LENGTH = 64, 44, 256


@dataclass
class SandboxKey:
    """
    One key that signs requests.

    :param expires_at: Epoch second on the sandbox's clock; infinity for a permanent key.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    principal: Principal
    expires_at: float = math.inf


class Keys:
    """
    All keys of a sandbox.

    :param options: The permanent keys, the roles, and the role of the machine.
    :param now: Returns epoch seconds on the server's clock, on which temporary keys expire.
    :param source: The source of their characters.
    """

    def __init__(self, options: Options, now: Callable[[], float], source: random.Random) -> None:
        self.now = now
        self.expired_code = options.expired_key
        self.seconds = options.key_seconds
        """The life of the keys that the metadata service gives."""
        self.roles: Mapping[str, Role] = options.roles_by_arn
        self.issued: list[SandboxKey] = []
        """The temporary keys, the oldest first."""
        self._source = source
        other = SandboxKey(options.other_secret_id, options.other_secret_key, "", Principal(OTHER_ACCOUNT))
        first = SandboxKey(options.secret_id, options.secret_key, options.session_token, Principal(FIRST_ACCOUNT))
        self._by_id = {key.secret_id: key for key in (other, first)}
        self._machine_role = options.role_of_machine

    @property
    def machine_role(self) -> str:
        """Name of the role that the metadata service gives keys of; empty for none. A role's ARN sets it, too."""
        return self._machine_role.name if self._machine_role else ""

    @machine_role.setter
    def machine_role(self, wanted: str) -> None:
        self._machine_role = role_named(wanted, self.roles.values())

    @property
    def role_of_machine(self) -> Role | None:
        """The role that the metadata service gives keys of."""
        return self._machine_role

    def find(self, secret_id: str) -> SandboxKey | None:
        """Return the key with an id."""
        return self._by_id.get(secret_id)

    def issue(self, principal: Principal, seconds: float) -> SandboxKey:
        """Make a temporary key that lives so long."""
        key = SandboxKey(
            f"AKID{self._characters(_ID_LENGTH)}",
            self._characters(_KEY_LENGTH),
            self._characters(_TOKEN_LENGTH),
            principal,
            math.floor(self.now() + seconds),
        )
        if len(self.issued) >= MOST_ISSUED:
            del self._by_id[self.issued.pop(0).secret_id]
        self.issued.append(key)
        self._by_id[key.secret_id] = key
        return key

    def expire(self) -> None:
        """Let every temporary key expire now."""
        now = self.now()
        for key in self.issued:
            key.expires_at = min(key.expires_at, now)

    def listed(self) -> list[dict[str, Any]]:
        """Return the temporary keys as JSON, without what signs."""
        now = self.now()
        return [
            {
                "secret_id": key.secret_id,
                "principal": str(key.principal),
                "session": key.principal.session,
                "seconds_left": round(max(0.0, key.expires_at - now), 3),
            }
            for key in self.issued
        ]

    def _characters(self, length: int) -> str:
        return "".join(self._source.choices(_CHARACTERS, k=length))


def written(key: SandboxKey) -> dict[str, Any]:
    """Return the three parts of a key, as STS and the metadata service name them."""
    return {"TmpSecretId": key.secret_id, "TmpSecretKey": key.secret_key, "Token": key.token}
