"""What the vendor published, and all errors of the package, for the tests that compare."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.purchasing import errors as purchase_errors
from airflow_provider_tcbilling.purchasing import money_errors

FACTS = json.loads((Path(__file__).parents[1] / "conformance" / "billing-2018-07-09.json").read_text(encoding="utf-8"))

PUBLISHED_CODES = tuple(FACTS["create_instance_error_codes"])
"""The error codes of the CreateInstance page."""

ERRORS = {
    name: kind
    for module in (errors, purchase_errors, money_errors)
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and issubclass(kind, errors.TcBillingError)
}
"""Every error by its name."""
