"""The first tables of a ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
SECONDS = sa.Float(53)
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
BLOB = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
OPTIONS: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}

IDENTITIES = {
    "postgresql": (
        "INSERT INTO tcbilling_identity (id, created_at) SELECT md5(random()::text || clock_timestamp()::text)::uuid, "
        "extract(epoch FROM clock_timestamp())"
    ),
    "mysql": (
        "INSERT INTO tcbilling_identity (id, created_at) SELECT uuid(), "
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000 FROM DUAL"
    ),
    "sqlite": (
        "INSERT INTO tcbilling_identity (id, created_at) SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) "
        "|| '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(6))), "
        "(julianday('now') - 2440587.5) * 86400.0"
    ),
}
"""The database makes the identity, also where this file is printed as SQL."""


def upgrade() -> None:
    """Create the tables. MySQL keeps those of an upgrade that was broken off, so one that is there stays."""
    _create(
        "tcbilling_identity",
        sa.Column("id", ID, primary_key=True),
        sa.Column("created_at", SECONDS, nullable=False),
    )
    _create(
        "tcbilling_books",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("server", sa.String(300), nullable=False),
        sa.Column("account", sa.String(100), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", ID, nullable=False),
        sa.UniqueConstraint("server", "account", name="tcbilling_books_unique"),
    )
    _create(
        "tcbilling_purchases",
        sa.Column("id", ID, primary_key=True),
        sa.Column("key", LONG_TEXT, nullable=False),
        sa.Column("book", sa.Integer, nullable=False),
        sa.Column("account", sa.String(100), nullable=False),
        sa.Column("action", sa.String(60), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("order_id", sa.String(100)),
        sa.Column("product", sa.String(255), nullable=False),
        sa.Column("dag_id", sa.String(255), nullable=False),
        sa.Column("intended_at", SECONDS),
        sa.Column("changed_at", SECONDS, nullable=False),
        sa.Column("paid_cents", sa.BigInteger),
        sa.Column("currency", sa.String(20)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("record", BLOB, nullable=False),
        sa.Index("tcbilling_purchases_by_state", "state", "changed_at"),
        sa.Index("tcbilling_purchases_by_dag", "dag_id", "changed_at", mysql_length={"dag_id": 100}),
    )
    _create(
        "tcbilling_orders",
        sa.Column("order_id", sa.String(100), primary_key=True),
        sa.Column("server", sa.String(300), primary_key=True),
        sa.Column("purchase", ID, nullable=False),
        sa.Column("key", LONG_TEXT),
    )
    _create(
        "tcbilling_events",
        sa.Column("book", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("purchase", ID, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(100), nullable=False),
        sa.Column("order_id", sa.String(100)),
        sa.Column("cents", sa.BigInteger),
        sa.Column("currency", sa.String(20)),
        sa.Column("hash", ID, nullable=False),
        sa.Index("tcbilling_events_by_purchase", "purchase"),
    )
    _create(
        "tcbilling_totals",
        sa.Column("book", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("product", sa.String(255), primary_key=True),
        sa.Column("currency", sa.String(20), primary_key=True),
        sa.Column("purchases", sa.Integer, nullable=False),
        sa.Column("cents", sa.BigInteger, nullable=False),
    )
    _create(
        "tcbilling_rate_limits",
        sa.Column("name", sa.String(300), primary_key=True),
        sa.Column("next_at", SECONDS, nullable=False),
        sa.Column("rate", SECONDS, nullable=False),
        sa.Column("refused_at", SECONDS, nullable=False),
        sa.Column("changed_at", SECONDS, nullable=False),
    )
    kind = op.get_context().dialect.name.replace("mariadb", "mysql")
    if kind == "postgresql":
        # Each purchase changes twice, and the room of the rows before is used again soon.
        op.execute("ALTER TABLE tcbilling_purchases SET (autovacuum_vacuum_scale_factor = 0.02)")
    op.execute(f"{IDENTITIES[kind]} WHERE NOT EXISTS (SELECT 1 FROM tcbilling_identity)")


def downgrade() -> None:
    """Refuse: the tables hold what was bought."""
    raise NotImplementedError("a ledger is not thrown away")


def _create(name: str, *parts: sa.schema.SchemaItem) -> None:
    if context.is_offline_mode() or not sa.inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, **OPTIONS)
