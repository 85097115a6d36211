"""The tables of a ledger in a database. SQLAlchemy Core, 1.4 and 2."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

REVISIONS = ("0001", "0002")
"""The migrations that this package has, the oldest first. The code needs the last one."""

VERSION_TABLE = "tcbilling_alembic_version"

ID: TypeEngine[str] = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
"""128 bits of a SHA-256, written as a UUID: PostgreSQL stores 16 bytes of it."""

SECONDS = Float(53)
"""Epoch seconds in double precision."""

LONG_TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
BLOB = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")

OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
"""On MySQL names compare by their bytes, as they do elsewhere."""

COUNTED = ("book", "action", "state", "account", "gross_cents", "counted_cents", "counted_currency", "id")
PRICED = ("overrun_cents", "book", "state", "account", "gross_cents", "counted_currency", "counted_at")
"""
The columns that a limit and the memory of prices read: from the index, so that thousands of purchases are counted
without their rows.
"""

metadata = MetaData()

identity = Table(
    "tcbilling_identity",
    metadata,
    Column("id", ID, primary_key=True),
    Column("created_at", SECONDS, nullable=False),
    **OPTIONS,
)

books = Table(
    "tcbilling_books",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("server", String(300), nullable=False),
    Column("account", String(100), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", ID, nullable=False),
    UniqueConstraint("server", "account", name="tcbilling_books_unique"),
    **OPTIONS,
)

purchases = Table(
    "tcbilling_purchases",
    metadata,
    Column("id", ID, primary_key=True),
    Column("key", LONG_TEXT, nullable=False),
    Column("book", Integer, nullable=False),
    Column("account", String(100), nullable=False),
    Column("action", String(60), nullable=False),
    Column("state", String(20), nullable=False),
    Column("order_id", String(100)),
    Column("product", String(255), nullable=False),
    Column("dag_id", String(255), nullable=False),
    Column("intended_at", SECONDS),
    Column("changed_at", SECONDS, nullable=False),
    Column("paid_cents", BigInteger),
    Column("currency", String(20)),
    Column("run", String(255), nullable=False, server_default=""),
    Column("price_key", String(32), nullable=False, server_default=""),
    Column("reserved_cents", BigInteger),
    Column("gross_cents", BigInteger),
    Column("overrun_cents", BigInteger),
    Column("counted_cents", BigInteger),
    Column("counted_currency", String(20), nullable=False, server_default=""),
    Column("counted_at", SECONDS, nullable=False, server_default=text("253402300799")),
    Column("version", Integer, nullable=False),
    Column("record", BLOB, nullable=False),
    Index("tcbilling_purchases_by_state", "state", "changed_at"),
    Index("tcbilling_purchases_by_dag", "dag_id", "changed_at", mysql_length={"dag_id": 100}),
    Index("tcbilling_purchases_by_counted", "counted_at", *COUNTED),
    Index("tcbilling_purchases_by_priced", "price_key", *PRICED),
    Index("tcbilling_purchases_by_run", "run", mysql_length={"run": 100}),
    **OPTIONS,
)
"""
Limits and the memory of prices read the columns from *run* to *counted_at*. *counted_cents* is what a purchase counts:
its price before vouchers, else what it reserves; 0 if nothing was bought, and null if nothing tells.
"""

orders = Table(
    "tcbilling_orders",
    metadata,
    Column("order_id", String(100), primary_key=True),
    Column("server", String(300), primary_key=True),
    Column("purchase", ID, nullable=False),
    Column("key", LONG_TEXT),
    **OPTIONS,
)
"""An order and its purchase, with the key of a purchase that had no row when it was assigned the order."""

events = Table(
    "tcbilling_events",
    metadata,
    Column("book", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("purchase", ID, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(100), nullable=False),
    Column("order_id", String(100)),
    Column("cents", BigInteger),
    Column("currency", String(20)),
    Column("hash", ID, nullable=False),
    Index("tcbilling_events_by_purchase", "purchase"),
    **OPTIONS,
)

totals = Table(
    "tcbilling_totals",
    metadata,
    Column("book", Integer, primary_key=True, autoincrement=False),
    Column("month", String(7), primary_key=True),
    Column("product", String(255), primary_key=True),
    Column("currency", String(20), primary_key=True),
    Column("purchases", Integer, nullable=False),
    Column("cents", BigInteger, nullable=False),
    **OPTIONS,
)

prices = Table(
    "tcbilling_prices",
    metadata,
    Column("server", String(300), primary_key=True),
    Column("price_key", String(32), primary_key=True),
    Column("account", String(100), primary_key=True),
    Column("accepted_cents", BigInteger, nullable=False),
    Column("currency", String(20), nullable=False),
    Column("accepted_by", String(100), nullable=False),
    Column("accepted_at", SECONDS, nullable=False),
    **OPTIONS,
)
"""Prices above their reservation that a user has accepted."""

approvals = Table(
    "tcbilling_approvals",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("purchase", ID, nullable=False),
    Column("key", LONG_TEXT, nullable=False),
    Column("cents", BigInteger, nullable=False),
    Column("currency", String(20), nullable=False),
    Column("approved_by", String(100), nullable=False),
    Column("approved_at", SECONDS, nullable=False),
    Column("valid_until", SECONDS, nullable=False),
    Index("tcbilling_approvals_by_purchase", "purchase"),
    **OPTIONS,
)

rate_limits = Table(
    "tcbilling_rate_limits",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("next_at", SECONDS, nullable=False),
    Column("rate", SECONDS, nullable=False),
    Column("refused_at", SECONDS, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    **OPTIONS,
)
