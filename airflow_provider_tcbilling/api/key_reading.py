"""Keys as they stand in a file, in the environment or in an answer: read strictly, and never shown."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused

MOST_BYTES = 2**20
"""Bytes of a file with keys. A larger one is none."""

_PART = re.compile(r"[!-~]+")


def key_of(where: str, parts: Mapping[str, Any], expires_at: float | None = None) -> Key:
    """
    Return the key that three values make.

    :param where: Their origin, for a message.
    :param parts: SecretId, SecretKey and token by their names, in this order; an empty token is none.
    :raises CredentialsRefused: One is no part of a key. Its value is not shown.
    """
    *needed, token = parts
    given = [*needed, *([token] if parts[token] != "" else [])]
    wrong = [name for name in given if not (isinstance(parts[name], str) and _PART.fullmatch(parts[name]))]
    if wrong:
        raise refused(where, [f"{name} is no part of a key: is a blank or a line break in it?" for name in wrong])
    secret_id, secret_key, token_of_it = parts.values()
    return Key(secret_id, secret_key, token_of_it, expires_at)


def read_file(path: Path, where: str) -> str:
    """
    Return the text of a file with a secret.

    :param where: The file, for a message.
    :raises CredentialsRefused: It cannot be read.
    """
    try:
        # A pipe or a terminal would be waited for without end, even while it is opened.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise refused(where, ["it is no regular file"])
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise refused(where, ["it is too large"])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise refused(where, [error.strerror or type(error).__name__]) from None
    except ValueError:
        raise refused(where, ["it is not a text"]) from None


def life_of(expires_at: Any, now: float) -> float:
    """
    Return the seconds that a key has left.

    :param expires_at: Epoch second of the service that gave it, as it stands in the answer.
    :param now: Epoch seconds on the clock of that service.
    :raises ValueError: It is no moment.
    """
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)) or not math.isfinite(expires_at):
        raise ValueError("no moment of expiry")
    return float(expires_at) - now


def refused(where: str, mistakes: Iterable[str]) -> CredentialsRefused:
    """Return the error for mistakes that another try does not mend."""
    return CredentialsRefused(f"No key came from {where}, so nothing was sent: {'; '.join(mistakes)}.")
