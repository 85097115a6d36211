"""The errors of the sandbox: of a request to the billing API, and of a control call."""

from __future__ import annotations


class Refused(Exception):
    """The server answers with an error code, and nothing was carried out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class WrongControl(ValueError):
    """A control call, a fault or an option has a field or a value that does not exist; the text names the field."""


class TooLarge(Exception):
    """A body is longer than it may be. The rest of it is not kept."""
