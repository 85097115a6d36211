"""The address of a ledger's database. It needs no SQLAlchemy."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

KINDS = ("postgresql", "mysql", "sqlite")


@dataclass(frozen=True)
class Address:
    """
    Where a database is, and how it is opened. Its text has neither user nor password.

    :param kind: ``postgresql``, ``mysql`` or ``sqlite``.
    :param database: Its name; of SQLite the absolute path of its file.
    :param options: Options of the driver, each a name and a value.
    """

    kind: str
    database: str
    host: str = ""
    port: int | None = None
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be a ledger, with a ValueError."""
        if self.kind not in KINDS:
            raise ValueError(f"a ledger can be in {', '.join(KINDS)}, and not in {self.kind}")
        if not self.database:
            raise ValueError("it names no database")
        if self.kind == "sqlite" and not os.path.isabs(self.database):
            raise ValueError("a SQLite file needs an absolute path: each process would open another file, or memory")

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        place = self.database if self.kind == "sqlite" else f"{self.host}{port}/{self.database}"
        return f"{self.kind}://{place}"
