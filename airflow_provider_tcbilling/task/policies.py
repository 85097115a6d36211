"""Policies: choices that a DAG author makes for a task. The text of a choice, as a param has it, counts as well."""

from __future__ import annotations

from enum import Enum

__all__ = ["OnAutoRenew", "OnRefusedRun", "OnUnknownOutcome"]


class Policy(str, Enum):
    """A choice that equals its text, and is written as its text."""

    def __str__(self) -> str:
        return str(self.value)


class OnUnknownOutcome(Policy):
    """What to do when a request may have been carried out and no query shows whether it was."""

    STOP = "stop"
    """Fail the task and name what to look for."""

    REPLAY = "replay"
    """Trust the client token and send the request again. If the server forgot the token, it is carried out twice."""


class OnRefusedRun(Policy):
    """How the task ends when its run may not spend. Nothing is sent."""

    FAIL = "fail"
    SKIP = "skip"


class OnAutoRenew(Policy):
    """What to do with an instance that Tencent renews by itself."""

    SKIP = "skip"
    """Leave it alone and skip the task."""

    FAIL = "fail"
    """Leave it alone and fail the task."""

    RENEW = "renew"
    """Renew it as well: it is then paid twice, for two periods."""
