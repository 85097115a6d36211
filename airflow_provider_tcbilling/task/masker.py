"""Give the secrets of a task, and its keys, to Airflow's masker, which hides them in logs and rendered fields."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_tcbilling.api.masking import is_told_apart, secrets_in

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.credentials import Key

_PLACES = ("airflow.sdk.log", "airflow.sdk.execution_time.secrets_masker", "airflow.utils.log.secrets_masker")
"""Where ``mask_secret`` is: in Airflow 3.1 and newer, in 3.0, in 2.11."""

MOST_SECRETS, MOST_CHARACTERS = 100, 100_000
"""The most secrets of one value, and their characters. With each one Airflow compiles all anew: 1000 take a minute."""

WHOLE_KEYS, MOST_KEYS, TAIL = 20, 500, 32
"""
Keys of a process that are masked whole; those of which the end of the token is masked, and nothing later; its
characters. Airflow forgets no mask, and compiles all of them anew for each one: with 150 tokens of 1000 characters, two
seconds. Only a triggerer that runs for days has so many keys.
"""

MASK_SECONDS = 5.0
"""How long a query in the triggerer waits until its new key is masked."""

log = logging.getLogger(__name__)


def mask_in_airflow(value: Any) -> None:
    """
    Have Airflow mask the secrets of a value from now on, as they are and as JSON writes them. It never raises.

    Where there are too many, the longest are left out, and the log says so.
    """
    try:
        secrets = sorted(set(filter(is_told_apart, secrets_in(value))), key=len)
        lengths = itertools.accumulate(map(len, secrets))
        short = [secret for secret, length in zip(secrets, lengths, strict=True) if length <= MOST_CHARACTERS]
        for secret in short[:MOST_SECRETS]:
            for text in {secret, json.dumps(secret)[1:-1]}:
                _mask_secret(text)
        if left_out := len(secrets) - len(short[:MOST_SECRETS]):
            log.warning(
                "Airflow does not mask %d of the %d secrets of the parameter in its logs: they are too many, or too "
                "long. No record has them.",
                left_out,
                len(secrets),
            )
    except Exception as error:
        log.warning("Airflow does not mask the secrets of the parameter in its logs: %s", type(error).__name__)


def mask_through_this_loop() -> None:
    """
    Have :func:`mask_key` reach Airflow's masker through the running event loop from now on.

    The process that writes a triggerer's logs is another one, and some lines of Airflow can be spoken to by their event
    loop only: a message from the thread of a query would mix up their answers.
    """
    _Process.loop = asyncio.get_running_loop()


def mask_key(key: Key) -> None:
    """Have Airflow mask a SecretKey and its token from now on. It never raises, and waits for a few seconds at most."""
    number = next(_Process.keys)
    if number >= MOST_KEYS:
        if number == MOST_KEYS:
            log.warning("Airflow masks no further keys of this process in its logs: it had %d of them.", number)
        return
    secrets = [text for text in (key.secret_key, key.token if number < WHOLE_KEYS else key.token[-TAIL:]) if text]
    loop = _Process.loop
    try:
        if loop is None or not loop.is_running():
            _mask_all(secrets)
            return
        masking = asyncio.run_coroutine_threadsafe(_mask_in_loop(secrets), loop)
        if not _is_running_here(loop):
            masking.result(MASK_SECONDS)
    except Exception as error:
        log.warning("Airflow does not mask the new key in its logs: %s", type(error).__name__)


class _Process:
    """The event loop of the triggers in this process, ``None`` if it has none, and the count of the masked keys."""

    loop: ClassVar[asyncio.AbstractEventLoop | None] = None
    keys: ClassVar[Iterator[int]] = itertools.count()


async def _mask_in_loop(secrets: list[str]) -> None:
    from asgiref.sync import sync_to_async

    # Airflow's own way to let blocking code talk to the process that writes the logs.
    await sync_to_async(_mask_all)(secrets)


def _mask_all(secrets: list[str]) -> None:
    for text in secrets:
        _mask_secret(text)


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _mask_secret(text: str) -> None:
    for place in _PLACES:
        try:
            mask_secret = import_module(place).mask_secret
        except (ImportError, AttributeError):
            continue
        mask_secret(text)
        return
    raise LookupError("Airflow has no masker")
