"""The table of the error codes of STS with a remedy."""

from __future__ import annotations


def remedy_of(code: str) -> str:
    """Return what to correct after an error code of STS; empty if only the server's message tells."""
    return ""
