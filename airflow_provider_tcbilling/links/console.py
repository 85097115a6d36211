"""OrderConsoleLink: the button that leads from a task to its order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

__all__ = ["CONSOLE_LINK", "OrderConsoleLink"]

CONSOLE_LINK = "console_link"
"""XCom key under which the operator stores the address."""


class OrderConsoleLink(BaseOperatorLink):
    """Leads to the order in Tencent Cloud's console (international or mainland), or on the sandbox's page."""

    name = "Order in Tencent Cloud console"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey, **context: Any) -> str:
        """Return the address, or nothing while there is no order."""
        # On a worker the task itself has it; reading its XCom would be logged as an error where there is no order.
        own = getattr(operator, CONSOLE_LINK, None)
        address = str((XCom.get_value(key=CONSOLE_LINK, ti_key=ti_key) if own is None else own) or "")
        return address if re.match("https?://", address) and address.isprintable() else ""
