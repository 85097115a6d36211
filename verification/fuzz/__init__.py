"""The kinds of random input: each is a function of a seed, which returns the end and the mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from verification.fuzz.answers import an_answer
from verification.fuzz.connections import a_connection
from verification.fuzz.judging import Verdict
from verification.fuzz.records import a_record

KINDS: Mapping[str, Callable[[int], Verdict]] = {
    "answers": an_answer,
    "records": a_record,
    "connections": a_connection,
}
