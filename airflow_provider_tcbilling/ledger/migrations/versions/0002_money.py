"""The columns that limits count, the memory of prices, and approvals."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
SECONDS = sa.Float(53)
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}

EMPTY: dict[str, Any] = {"nullable": False, "server_default": ""}

COLUMNS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("run", sa.String(255), EMPTY),
    ("price_key", sa.String(32), EMPTY),
    ("reserved_cents", sa.BigInteger, {}),
    ("gross_cents", sa.BigInteger, {}),
    ("overrun_cents", sa.BigInteger, {}),
    ("counted_cents", sa.BigInteger, {}),
    ("counted_currency", sa.String(20), EMPTY),
    ("counted_at", SECONDS, {"nullable": False, "server_default": sa.text("253402300799")}),
)

COUNTED = ("book", "action", "state", "account", "gross_cents", "counted_cents", "counted_currency", "id")
PRICED = ("overrun_cents", "book", "state", "account", "gross_cents", "counted_currency", "counted_at")

INDEXES = {
    "tcbilling_purchases_by_counted": ("counted_at", *COUNTED),
    "tcbilling_purchases_by_priced": ("price_key", *PRICED),
    "tcbilling_purchases_by_run": ("run",),
}

SPENDS = "action IN ('CreateInstance', 'RenewInstance')"

BEFORE = (
    "UPDATE tcbilling_purchases SET counted_at = COALESCE(intended_at, changed_at), "
    "counted_currency = COALESCE(currency, '')",
    f"UPDATE tcbilling_purchases SET gross_cents = paid_cents, counted_cents = paid_cents WHERE {SPENDS} "
    "AND paid_cents >= 0",
    f"UPDATE tcbilling_purchases SET counted_cents = 0 WHERE state = 'declined' OR NOT {SPENDS}",
)
"""The purchases of before: what they paid counts, and what a purchase under way costs is not known."""


def upgrade() -> None:
    """Add the columns and tables. MySQL keeps those of an upgrade that was broken off, so one that is there stays."""
    there = set()
    if not context.is_offline_mode():
        inspector = sa.inspect(op.get_bind())
        found = [*inspector.get_columns("tcbilling_purchases"), *inspector.get_indexes("tcbilling_purchases")]
        there = {part["name"] for part in found}
    for name, kind, facts in COLUMNS:
        if name not in there:
            op.add_column("tcbilling_purchases", sa.Column(name, kind, **facts))
    for name, columns in INDEXES.items():
        if name not in there:
            sizes: dict[str, Any] = {"mysql_length": {"run": 100}} if columns == ("run",) else {}
            op.create_index(name, "tcbilling_purchases", list(columns), **sizes)
    _create(
        "tcbilling_prices",
        sa.Column("server", sa.String(300), primary_key=True),
        sa.Column("price_key", sa.String(32), primary_key=True),
        sa.Column("account", sa.String(100), primary_key=True),
        sa.Column("accepted_cents", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(20), nullable=False),
        sa.Column("accepted_by", sa.String(100), nullable=False),
        sa.Column("accepted_at", SECONDS, nullable=False),
    )
    _create(
        "tcbilling_approvals",
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("purchase", ID, nullable=False),
        sa.Column("key", LONG_TEXT, nullable=False),
        sa.Column("cents", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(20), nullable=False),
        sa.Column("approved_by", sa.String(100), nullable=False),
        sa.Column("approved_at", SECONDS, nullable=False),
        sa.Column("valid_until", SECONDS, nullable=False),
        sa.Index("tcbilling_approvals_by_purchase", "purchase"),
    )
    for statement in BEFORE:
        op.execute(statement)


def downgrade() -> None:
    """Refuse: the columns hold what limits count."""
    raise NotImplementedError("a ledger is not thrown away")


def _create(name: str, *parts: sa.schema.SchemaItem) -> None:
    if context.is_offline_mode() or not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **OPTIONS)
