"""Many threads and processes at one queue in a database, on its real clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import astuple
from itertools import pairwise

import pytest

from airflow_provider_tcbilling.ledger.database_engine import Database
from tests.support.fleet_limit import address, own_folder, server

__all__ = ["address", "own_folder", "server"]

PROCESSES, THREADS, TICKETS = 4, 4, 8
PER_SECOND = 200.0

DRAW = """
import ast, sys
from concurrent.futures import ThreadPoolExecutor
from airflow_provider_tcbilling.ledger import database_queue
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_engine import Database
from airflow_provider_tcbilling.ledger.rate_limit import FleetLimiter, Queues

# The moment at which a ticket may go, by the database's clock, in place of the seconds until then.
database_queue.DRAW = database_queue.DRAW.rpartition(" - ")[0]
address, per_second, threads, tickets = ast.literal_eval(sys.argv[1])
database = Database(Address(*address))
limiter = FleetLimiter(Queues(lambda: database), "queue", per_second)
moments = []
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(lambda _: limiter.wait(1e12, moments.append), range(threads * tickets)):
        pass
print(moments)
"""


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("address", ["sqlite", "postgresql"], indirect=True)
def test_each_of_many_threads_and_processes_gets_a_moment_of_its_own(address):
    given = repr((astuple(address), PER_SECOND, THREADS, TICKETS))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    crowd = [subprocess.Popen([sys.executable, "-c", DRAW, given], **pipes) for _ in range(PROCESSES)]
    for process in crowd:
        assert process.stdout.readline() == "ready\n"
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    drawn = [ast.literal_eval(process.communicate(timeout=300)[0]) for process in crowd]

    assert [len(moments) for moments in drawn] == [THREADS * TICKETS] * PROCESSES
    moments = sorted(moment for moments in drawn for moment in moments)
    assert all(after - before > 0.99 / PER_SECOND for before, after in pairwise(moments))
    # Its own clock: the moments are those of the database, whatever the processes waited for.
    database = Database(address)
    assert abs(moments[0] - database.now()) < 600
    database.close()
