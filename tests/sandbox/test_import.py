"""The public import path of the sandbox: its names are there, and nothing heavy is imported before one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_tcbilling import sandbox
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running


def test_the_public_names_are_those_of_their_modules():
    assert (sandbox.Options, sandbox.Sandbox, sandbox.running) == (Options, Sandbox, running)
    with pytest.raises(AttributeError, match="Options2"):
        _ = sandbox.Options2


def test_the_package_alone_imports_no_server():
    code = "import sys; import airflow_provider_tcbilling.sandbox; print({'starlette', 'uvicorn'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
