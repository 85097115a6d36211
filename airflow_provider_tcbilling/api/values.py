"""The values of the API that have names: actions of orders, states of instances, renew flags. Each is its text, too."""

from __future__ import annotations

from enum import Enum


class Value(str, Enum):
    """A text of the API with a name. It equals its text, is sent as its text, and is written as its text."""

    __str__ = str.__str__


class DealAction(Value):
    """The action of an order, in lower case (https://www.tencentcloud.com/document/api/555/67735)."""

    PURCHASE = "purchase"
    RENEW = "renew"
    REFUND = "refund"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    MODIFY_NETWORK_MODE = "modifynetworkmode"
    MODIFY_NETWORK_SIZE = "modifynetworksize"
    PREPAID_MOVE_IN = "premovein"
    PREPAID_MOVE_OUT = "premoveout"
    POSTPAID_MOVE_IN = "postmovein"
    POSTPAID_MOVE_OUT = "postmoveout"
    PREPAID_TO_POSTPAID = "pretopost"


class InstanceState(Value):
    """The state of an instance in the list of instances (https://www.tencentcloud.com/document/api/555/78424)."""

    NORMAL = "NORMAL"
    ISOLATED = "ISOLATED"
    """It has expired and can still be renewed."""


class RenewFlag(Value):
    """The renewal at the end of a subscription."""

    MANUAL = "NOTIFY_AND_MANUAL_RENEW"
    AUTO = "NOTIFY_AND_AUTO_RENEW"
    DISABLED = "DISABLE_NOTIFY_AND_MANUAL_RENEW"
