"""Check: the rule for a value that a user, a template or a connection gives. One form of rule, one form of message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import shown


class Unset(ValueError):
    """A template rendered to nothing."""


@dataclass(frozen=True)
class Check:
    """
    The rule for a value.

    :param read: Returns the meaning of a value; raises ``ValueError`` if it has none.
    :param wanted: The rule in words.
    """

    read: Callable[[Any], Any]
    wanted: str

    def accepts(self, value: Any) -> bool:
        """Whether a value obeys the rule."""
        return not self.mistake("", value)

    def mistake(self, name: str, value: Any) -> str:
        """Return the mistake of a value in words; empty if there is none."""
        try:
            self.read(value)
        except Unset:
            return f"{name}: given, but its template rendered to {shown(value)}"
        except (ValueError, OverflowError):
            return f"{name}: {shown(value)} is not {self.wanted}"
        return ""

    def of(self, owner: str, name: str, value: Any) -> Any:
        """
        Return the meaning of a value.

        :param owner: The name of the object that has the argument, for the message.
        :raises InvalidRequest: It breaks the rule. Nothing was sent.
        """
        if mistake := self.mistake(name, value):
            raise InvalidRequest(owner, [mistake])
        return self.read(value)

    def demand(self, name: str, value: Any) -> str:
        """Return the rule for a value that breaks it, without the value, which may be a secret; else nothing."""
        return "" if self.accepts(value) else f"{name} must be {self.wanted}"
