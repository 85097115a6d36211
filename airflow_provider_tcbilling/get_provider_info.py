"""What Airflow asks of a provider. Every component imports it, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any

from airflow_provider_tcbilling.hooks.connection import (
    CONN_TYPE,
    EXTRA_FIELDS,
    HIDDEN_FIELDS,
    HOOK_NAME,
    LABELS,
    PLACEHOLDERS,
    ExtraField,
)

INTEGRATION = "Tencent Cloud Billing"
_PACKAGE = "airflow_provider_tcbilling"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata (entry point ``apache_airflow_provider``)."""
    return {
        "package-name": "airflow-provider-tcbilling",
        "name": INTEGRATION,
        "description": "Buy Tencent Cloud instances through the Billing API, once per purchase, and await delivery.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://www.tencentcloud.com/document/product/555",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.tcbilling.TcBillingHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": {
                    "hidden-fields": list(HIDDEN_FIELDS),
                    "relabeling": dict(LABELS),
                    "placeholders": dict(PLACEHOLDERS),
                },
                "conn-fields": {extra.name: _form_field(extra) for extra in EXTRA_FIELDS},
            }
        ],
        "hooks": [_modules("hooks.tcbilling")],
        "operators": [
            _modules(
                "operators.instance",
                "operators.renewal",
                "operators.refund",
                "operators.approval",
                "operators.expiry",
                "operators.base",
            )
        ],
        "sensors": [_modules("sensors.delivery", "sensors.expiry")],
        "triggers": [_modules("triggers.delivery", "triggers.expiry", "triggers.base")],
        "extra-links": [f"{_PACKAGE}.links.console.OrderConsoleLink"],
        "cli": [f"{_PACKAGE}.cli.commands.get_cli_commands"],
        "config": {
            "tcbilling": {
                "description": "Settings of the Tencent Cloud Billing provider.",
                "options": {
                    "allowed_hosts": {
                        "description": (
                            "Hosts, separated by commas, that may get signed requests beside "
                            "``*.tencentcloudapi.com`` and this machine."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "billing-gateway.example.com",
                        "default": "",
                    },
                    "dry_run": {
                        "description": (
                            "Whether this deployment only shows what its tasks would do: they return plans, and "
                            "nothing that buys, renews, refunds or changes anything is sent."
                        ),
                        "version_added": "0.3.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                    "ledger_class": {
                        "description": (
                            "Class that opens the ``ledger_uri`` of a connection, a subclass of "
                            "``airflow_provider_tcbilling.ledger.store.Store``. Empty means object storage."
                        ),
                        "version_added": "0.2.0",
                        "type": "string",
                        "example": "my_company.stores.OurStore",
                        "default": "",
                    },
                },
            }
        },
    }


def _modules(*modules: str) -> dict[str, Any]:
    return {"integration-name": INTEGRATION, "python-modules": [f"{_PACKAGE}.{module}" for module in modules]}


def _form_field(extra: ExtraField) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [extra.type, "null"]}
    if extra.choices:
        schema |= {"enum": list(extra.choices), "default": extra.default}
    if extra.is_secret:
        schema["format"] = "password"
    if extra.is_long:
        schema["format"] = "multiline"
    default = f" Default: {extra.default}." if extra.default else ""
    return {"label": extra.label, "description": f"{extra.about}{default}", "schema": schema}
