"""Verdict: how a test of a ledger ends where the property does not simply hold."""

from __future__ import annotations


class Failed(Exception):
    """The property does not hold; the text says why."""


class Warned(Exception):
    """The property holds, and a user should know something; the text says what."""
