"""What remembering adds to a purchase, and what a query of a large ledger takes: a folder, SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from uuid import uuid4

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_search import Query
from airflow_provider_tcbilling.ledger.database_tables import purchases
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from tests.support.databases import PostgreSQL, address, postgresql
from verification.bench.costs import client_of
from verification.bench.figures import BASELINE, Part, Table, Target, compared, in_turn, mean
from verification.bench.order import ORDER
from verification.bench.servers import sandbox

FOLDER, SQLITE, POSTGRES = "a folder on this disk", "SQLite on this disk", "PostgreSQL on this machine"
NOTHING = f"{BASELINE}no ledger"

MANY, OBJECTS = 1_000_000, 2_000
"""Records of the databases, and of the folder, which reads each of them."""

OPEN, SEED = 50, 500
"""Purchases under way, and records that are stored as a purchase stores them; all others are copies of these."""

COPIED = {
    "key": "key || '/' || n",
    "order_id": "order_id || n",
    "dag_id": "'dag_' || (n % 50)",
    "intended_at": "intended_at - 600.0 * n",
    "changed_at": "changed_at - 600.0 * n",
}
"""By column, what a copy has instead of the same. Each copy is older than the one before."""

COPY = """
INSERT INTO tcbilling_purchases ({names})
{series}SELECT {columns} FROM tcbilling_purchases p, {numbers} WHERE p.state = 'delivered'
"""
COPY_ORDERS = """
INSERT INTO tcbilling_orders (order_id, server, purchase)
SELECT p.order_id, b.server, p.id FROM tcbilling_purchases p JOIN tcbilling_books b ON b.id = p.book
WHERE p.order_id IS NOT NULL AND p.order_id NOT IN (SELECT order_id FROM tcbilling_orders)
"""


def measure(quick: bool) -> Part:
    """Measure all of them."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, postgresql(is_durable=True) as server, sandbox() as url:
        stores = opened(Path(folder), server)
        bought, added = measure_purchases(url, stores, 60 if quick else 500)
        sizes = measure_sizes(stores, server, Path(folder), 100 if quick else SEED)
        queries = measure_queries(stores, server, Path(folder), 100_000 if quick else MANY)
    logging.disable(logging.NOTSET)
    slowest = {store: max(row[4] for row in queries.rows if row[0].startswith(store)) for store in (SQLITE, POSTGRES)}
    most = max(float(row[1]) for row in sizes.rows)
    base = added[FOLDER]
    targets = [
        Target.at_most("SQLite adds to a purchase, of what a folder adds", added[SQLITE] / base, 1.0),
        Target.at_most("PostgreSQL adds to a purchase, of what a folder adds", added[POSTGRES] / base, 3.0),
        *(Target.at_most(f"The slowest query of {store}", slowest[store], 50.0, " ms") for store in slowest),
        Target.at_most("A record of a database takes", most, 2_048.0, " bytes"),
    ]
    return Part([bought, sizes, queries], targets)


def opened(folder: Path, server: PostgreSQL) -> Mapping[str, Store]:
    """Return a ledger of each kind."""
    (folder / "objects").mkdir()
    databases = {
        SQLITE: DatabaseStore(Address("sqlite", str(folder / "ledger.sqlite"))),
        POSTGRES: DatabaseStore(address(server, server.new_database())),
    }
    for database in databases.values():
        database.upgrade()
    return {FOLDER: ObjectStore((folder / "objects").as_uri()), **databases}


def measure_purchases(url: str, stores: Mapping[str, Store], count: int) -> tuple[Table, Mapping[str, float]]:
    """Measure whole purchases with each ledger; return what each adds in milliseconds, too."""
    with contextlib.closing(client_of(url)) as client:
        action = NewInstance(client, ORDER)

        def bought(store: Store) -> Callable[[], float]:
            return partial(mean, lambda: Purchase(uuid4().hex, action, store).place(), 1, 1e3)

        cases = {name: bought(store) for name, store in {NOTHING: NoStore(), **stores}.items()}
        taken = in_turn(cases, count, unmeasured=10)
    added = {
        name: statistics.median(ours - nothing for ours, nothing in zip(taken[name], taken[NOTHING], strict=True))
        for name in stores
    }
    note = "From a sandbox in another process. Each ledger syncs the intent and the order to the same disk. Round by "
    note += f"round, {', '.join(f'{name} adds {more:.2f} ms' for name, more in added.items())} (medians)."
    return compared("What remembering adds to a purchase", note, taken, "ms"), added


def measure_sizes(stores: Mapping[str, Store], server: PostgreSQL, folder: Path, count: int) -> Table:
    """Measure the bytes of a record with all that belongs to it: events, order, indexes."""
    rows = []
    sizes: dict[str, Callable[[], int]] = {SQLITE: lambda: _size_of_file(folder), POSTGRES: lambda: _size_of(server)}
    for name, size in sizes.items():
        before = size()
        fill(stores[name], count)
        rows.append([name, (size() - before) / count])
    return Table("A record on the disk", f"{count} purchases: intended, placed, delivered.", ("", "bytes"), rows)


def fill(store: Store, count: int, under_way: int = 0) -> list[Record]:
    """Store records as purchases do, of which the last are under way; return them."""
    now = store.now()
    records = [record_of(number, now - 3600.0 * (number >= under_way)) for number in range(count)]
    for number, record in enumerate(records):
        store.create(record.key, record.as_json())
        if number >= under_way:
            order = Order(
                f"2026113{uuid4().int % 10**15:015}", ("ins-bench",), record.client_token, uuid4().hex, 10_000
            )
            store.replace(record.key, record.ordered(order, record.changed_at + 1.0).as_json())
            delivered = record.ordered(order, record.changed_at + 60.0, State.DELIVERED)
            store.replace(record.key, delivered.as_json())
            records[number] = delivered
    return records


def record_of(number: int, now: float) -> Record:
    """Return an intent as a mapped task stores it."""
    key = f'["security_ops","scheduled__2026-11-25T00:00:00+00:00","buy_firewall",{number},"{uuid4().hex}"]'
    until = Rules().replay_until(now, now + 140.0)
    placed_by = {"dag_id": "security_ops", "task_id": "buy_firewall", "run_id": "scheduled__2026-11-25T00:00:00+00:00"}
    return Record(
        key, client_token_for(key), 0, f"sealed:{uuid4().hex}{uuid4().hex}", "https://billing.intl.tencentcloudapi.com",
        "CreateInstance", State.INTENDED, uuid4().hex, now, now + 140.0, until, now,
        payload=NewInstance.action.payload_without_token(ORDER), placed_by={**placed_by, "map_index": number},
        key_id=uuid4().hex[:16], account="200012345678",
    )  # fmt: skip


def measure_queries(stores: Mapping[str, Store], server: PostgreSQL, folder: Path, many: int) -> Table:
    """Measure the list of the command line, and the look of a purchase for its rivals."""
    taken: dict[str, list[float]] = {}
    sizes = {FOLDER: OBJECTS // (10 if many < MANY else 1), SQLITE: many, POSTGRES: many}
    for name, store in stores.items():
        records = fill(store, min(SEED, sizes[name]), OPEN)
        if isinstance(store, DatabaseStore):
            multiply(store, server, folder, many // SEED)
        else:
            fill(store, sizes[name] - len(records))
        for what, use in _queries(store, records).items():
            use()
            taken[f"{name}, {sizes[name]:,} records: {what}"] = [mean(use, 1, 1e3) for _ in range(20)]
    note = "In a process that has used its ledger before. The copies of records are made by the database itself, "
    note += f"without events; {OPEN} purchases are under way. A folder reads every object."
    return compared("A query of a large ledger", note, taken, "ms")


def _queries(store: Store, records: list[Record]) -> Mapping[str, Callable[[], object]]:
    delivered = [record for record in records if record.order_id]
    ids, since = [str(record.order_id) for record in delivered[:3]], store.now() - 600.0
    server = server_name(delivered[0].endpoint)

    def rivals() -> None:
        list(store.others(records[0].key, since, ids))
        store.owners(server, ids)

    if not isinstance(store, DatabaseStore):
        return {"rivals": rivals, "list": lambda: list(store.all())}
    queries = {
        "list": Query(),
        "list of a state": Query(state="intended"),
        "list of a DAG": Query(dag_id="dag_7"),
        "list of a DAG and a state": Query(dag_id="dag_7", state="delivered"),
        "list since an hour ago": Query(since=store.now() - 3600.0),
        "list by text": Query(text="buy_firewall"),
        "list by the text of one order": Query(text=ids[0]),
        "list by product": Query(product="p_cloudfirewall"),
    }
    return {"rivals": rivals, **{what: partial(store.search, query) for what, query in queries.items()}}


def multiply(store: DatabaseStore, server: PostgreSQL, folder: Path, copies: int) -> None:
    """Copy the delivered purchases, each so many times, and let the database look at its tables."""
    is_postgres = store.address.kind == "postgresql"
    own_id = "md5(p.id::text || n)::uuid" if is_postgres else "lower(hex(randomblob(16)))"
    columns = {name: {"id": own_id, **COPIED}.get(name, name) for name in (column.name for column in purchases.c)}
    numbers = f"generate_series(1, {copies}) n" if is_postgres else "numbers"
    series = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {copies})\n"
    statements = [
        COPY.format(
            names=", ".join(columns), series="" if is_postgres else series, columns=", ".join(columns.values()),
            numbers=numbers,
        ),
        COPY_ORDERS,
        "ANALYZE",
    ]  # fmt: skip
    if is_postgres:
        for statement in statements:
            server.execute(statement, store.address.database)
        return
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _size_of(server: PostgreSQL) -> int:
    query = "SELECT coalesce(sum(pg_database_size(datname)), 0) FROM pg_database WHERE datname LIKE 'ledger%'"
    return int(server.execute(query)[0][0])


def _size_of_file(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "ledger.sqlite").stat().st_size
