"""What Airflow learns of the provider when it starts."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import airflow
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_tcbilling.get_provider_info import get_provider_info

INFO = get_provider_info()


def test_the_package_name_is_the_distributions_or_discovery_fails_for_all_providers():
    assert INFO["package-name"] == distribution("airflow-provider-tcbilling").metadata["Name"]
    (entry,) = distribution("airflow-provider-tcbilling").entry_points.select(group="apache_airflow_provider")
    assert entry.load()() == INFO


def test_the_metadata_follows_airflows_schema():
    import jsonschema

    schema = Path(airflow.__path__[0]) / "provider_info.schema.json"

    jsonschema.validate(INFO, json.loads(schema.read_text(encoding="utf-8")))


def modules():
    return [
        m
        for key in ("hooks", "operators", "sensors", "triggers")
        for entry in INFO[key]
        for m in entry["python-modules"]
    ]


@pytest.mark.parametrize("module", modules())
def test_every_module_named_exists(module):
    importlib.import_module(module)


@pytest.mark.parametrize("path", [*INFO["extra-links"], INFO["connection-types"][0]["hook-class-name"]])
def test_every_class_named_exists(path):
    module, _, name = path.rpartition(".")

    assert getattr(importlib.import_module(module), name)


ROOMS = ("hooks", "links", "operators", "sensors", "triggers")


def public_modules():
    """Yield the modules of those folders that users may import; the deprecated ones only forward names."""
    package = Path(__file__).parents[2] / "airflow_provider_tcbilling"
    for path in sorted(path for room in ROOMS for path in (package / room).glob("[!_]*.py")):
        if "forward(" not in path.read_text(encoding="utf-8"):
            yield importlib.import_module(f"airflow_provider_tcbilling.{path.parent.name}.{path.stem}")


@pytest.mark.parametrize("module", list(public_modules()), ids=lambda module: module.__name__.partition(".")[2])
def test_a_public_module_says_what_is_public(module):
    assert module.__all__ == sorted(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_every_module_that_has_a_public_class_of_airflows_is_named():
    kinds = (BaseHook, BaseOperator, BaseTrigger)
    found = {
        module.__name__
        for module in public_modules()
        for value in (getattr(module, name) for name in module.__all__)
        if isinstance(value, type) and issubclass(value, kinds)
    }

    assert found == set(modules())


def test_discovery_imports_nothing_heavy():
    code = "import sys, airflow_provider_tcbilling.get_provider_info as p; p.get_provider_info(); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"airflow", "requests", "pendulum", "starlette"} & set(loaded)


def test_the_form_is_the_same_in_every_user_interface():
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

    new, old = INFO["connection-types"][0]["ui-field-behaviour"], TcBillingHook.get_ui_field_behaviour()

    assert new["hidden-fields"] == old["hidden_fields"]
    assert (new["relabeling"], new["placeholders"]) == (old["relabeling"], old["placeholders"])


def test_the_old_form_shows_the_fields_of_the_new_one():
    pytest.importorskip("flask_appbuilder")
    pytest.importorskip("wtforms")
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

    assert set(TcBillingHook.get_connection_form_widgets()) == set(INFO["connection-types"][0]["conn-fields"])


def test_secret_fields_are_passwords_in_the_form():
    assert INFO["connection-types"][0]["conn-fields"]["token"]["schema"]["format"] == "password"
