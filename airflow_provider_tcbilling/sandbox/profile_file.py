"""A profile file with the permanent keys of the sandbox, as Tencent's tools read it."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_provider_tcbilling.sandbox.options import Options

FIRST_LINE = "# The keys of a Tencent Cloud billing sandbox. They open nothing else."
"""A file that begins otherwise is never overwritten: it may hold real keys."""


def write_profile(path: str, options: Options) -> str:
    """
    Write a profile file that only its owner can read: ``[default]`` for the first account, ``[other]`` for the second.

    :return: The reason why it was not written; empty if it was.
    """
    try:
        if os.path.lexists(path) and not Path(path).read_text(encoding="utf-8").startswith(FIRST_LINE):
            return f"{path} exists, and this command did not write it. Name another file."
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(_text(options))
    except (OSError, ValueError) as error:
        return f"Cannot write {path}: {error}"
    return ""


def _text(options: Options) -> str:
    token = f"token = {options.session_token}\n" if options.session_token else ""
    return (
        f"{FIRST_LINE}\n[default]\nsecret_id = {options.secret_id}\nsecret_key = {options.secret_key}\n{token}"
        f"\n[other]\nsecret_id = {options.other_secret_id}\nsecret_key = {options.other_secret_key}\n"
    )
