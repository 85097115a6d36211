"""Whether a command of a container exists, with its options. Nothing is run."""

from __future__ import annotations

import contextlib
import io

import pytest

from tests.docs.test_words import is_command

CELERY_COMMANDS = (["celery", "worker"],)
"""Commands that the provider of Celery adds. The tests run without it."""


def is_airflow_command(words: list[str]) -> bool:
    """Whether Airflow, or its provider of Celery, has such a command with such options."""
    from airflow.cli import cli_parser

    if words[1:] in CELERY_COMMANDS:
        return True
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        return bool(cli_parser.get_parser().parse_args(words[1:]))
    return False


def is_our_command(words: list[str]) -> bool:
    """Whether this package has such a command with such options."""
    if words[2].endswith(".sandbox"):
        return is_sandbox(words[3:])
    return is_command(" ".join(words))


def is_sandbox(options: list[str]) -> bool:
    """Whether the sandbox takes these options. It stops where it would look for the certificate."""
    from airflow_provider_tcbilling.sandbox import __main__ as sandbox

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(sandbox, "_mistake_in", lambda certificate, key: "as far as this")
        with contextlib.suppress(SystemExit):
            return sandbox.main(options) == 1 and said.getvalue().strip() == "as far as this"
    return False
