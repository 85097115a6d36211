"""How the machines of a fleet share one rate limit in a database: on a clock of the test that the database reads."""

from __future__ import annotations

import random
import time

import pytest
from sqlalchemy import event, text

from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.rate_limit import CUT, LONGEST_QUEUE, SLOWEST, WAITING_SHARE
from airflow_provider_tcbilling.ledger.database_queue import CLOCK_STEP, TABLE
from tests.support.fleet_limit import (
    ACTION,
    PER_SECOND,
    address,
    at,
    clock,
    fleet,
    limiter,
    moments_of,
    moments_while_time_passes,
    own_folder,
    rows,
    server,
    set_row,
)

__all__ = ["address", "clock", "fleet", "own_folder", "server"]


def most_within_a_second(moments):
    return max(sum(start <= moment < start + 0.999 for moment in moments) for start in moments)


def refuse(*limiters):
    for refused in limiters:
        refused.note(ACTION, refused=True)


def rate_of(queues):
    ((_, rate, _, _),) = rows(queues).values()
    return rate


@pytest.mark.parametrize("per_second", [0.5, 5, SENT_PER_SECOND])
def test_no_second_holds_more_requests_of_all_machines_than_the_limit_and_one(fleet, clock, per_second):
    machines = [limiter(fleet(), per_second) for _ in range(4)]

    moments = moments_while_time_passes(machines, clock, 50)

    assert most_within_a_second(moments) <= per_second + 1
    assert moments[-1] - moments[0] == pytest.approx(49 / per_second, rel=0.01)


def test_requests_go_in_the_order_in_which_they_came_whatever_their_machine(fleet, clock):
    machines = [limiter(fleet()) for _ in range(3)]

    moments = moments_of(machines, clock, 30)

    assert moments == sorted(moments)


def test_a_pause_saves_up_for_no_burst(fleet, clock):
    machine = limiter(fleet())
    moments_of([machine], clock, 5)
    clock.now += 3600

    assert most_within_a_second(moments_of([machine], clock, 40)) <= PER_SECOND + 1


def test_a_request_that_would_wait_for_too_long_takes_no_place(fleet, clock):
    one, other = limiter(fleet(), 0.1), limiter(fleet(), 0.1)
    moments_of([one], clock, 4)
    before = rows(one._of(ACTION)[0]._queues)

    assert not other.wait(ACTION, 30, pytest.fail)
    assert not other.wait(ACTION, 30, pytest.fail)

    assert rows(one._of(ACTION)[0]._queues) == before
    # In the queue of its own limit, and then in the common one.
    assert moments_of([other], clock, 1) == at(4 / 0.1 + 4 / PER_SECOND)


def test_the_ticket_of_a_process_that_dies_costs_one_place_and_no_more(fleet, clock):
    dead, alive = limiter(fleet()), limiter(fleet())

    def die(seconds):
        raise SystemExit

    alive.wait(ACTION, 60, time.sleep)
    with pytest.raises(SystemExit):
        dead.wait(ACTION, 60, die)

    assert moments_of([alive], clock, 1) == at(2 / PER_SECOND)


def test_a_ticket_is_one_statement_and_nothing_follows_it(fleet, clock):
    queues = fleet()
    statements = []
    event.listen(queues._connect()._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    moments_of([limiter(queues)], clock, 10)

    # On PostgreSQL the begin of a transaction stands before the first statement, in one message with it.
    words = [statement.split("; ")[-1].split()[0] for statement in statements if TABLE in statement]
    # MySQL returns nothing from what it writes, so it needs a second one, and a third to make the row.
    assert words == (["UPDATE", "INSERT", "SELECT", *["UPDATE", "SELECT"] * 9] if is_mysql(queues) else ["INSERT"] * 10)


def test_a_request_that_waits_holds_no_connection(fleet, clock):
    queues = fleet()
    machine, pool, open_while_waiting = limiter(queues, 1), queues._connect()._engine.pool, []
    machine.wait(ACTION, 60, time.sleep)
    assert pool.checkedin() == 1

    machine.wait(ACTION, 60, lambda seconds: open_while_waiting.append(queues._connect()._engine.pool.checkedin()))

    assert open_while_waiting[:1] == [0]


def test_the_clock_of_a_machine_disturbs_nothing(fleet, clock, monkeypatch):
    machines = [limiter(fleet()) for _ in range(3)]
    moments = []
    for machine, jump in zip(machines, (-86_400, 0, 86_400), strict=True):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
            moments += moments_of([machine], clock, 1)

    assert moments == at(*(place / PER_SECOND for place in range(3)))


@pytest.mark.parametrize("jump", [-86_400, -2 * CLOCK_STEP, 86_400])
def test_nobody_waits_for_a_clock_of_the_database_that_was_set(fleet, clock, jump):
    machine = limiter(fleet())
    moments_of([machine], clock, 30)
    clock.now += jump

    assert moments_of([machine], clock, 2) == at(clock.passed, clock.passed + 1 / PER_SECOND)


def test_a_refusal_slows_all_machines_down_and_those_of_the_same_second_count_once(fleet, clock):
    everyones = [fleet() for _ in range(3)]
    machines = [limiter(queues) for queues in everyones]
    moments_of(machines, clock, 3)

    refuse(*machines, *machines)
    assert rate_of(everyones[0]) == pytest.approx(PER_SECOND * CUT)
    clock.now += 1.1
    refuse(*machines)

    assert rate_of(everyones[0]) == pytest.approx(PER_SECOND * CUT**2)
    first, second = moments_of(machines[1:], clock, 2)
    assert second - first == pytest.approx(1 / (PER_SECOND * CUT**2), rel=0.01)


def test_no_refusals_slow_the_fleet_below_the_slowest_rate(fleet, clock):
    queues = fleet()
    machine = limiter(queues)
    moments_of([machine], clock, 1)
    for _ in range(60):
        clock.now += 1.1
        refuse(machine)

    assert rate_of(queues) == SLOWEST


def test_each_ticket_speeds_up_again_and_none_beyond_the_limit(fleet, clock):
    queues = fleet()
    machine = limiter(queues)
    moments_of([machine], clock, 1)
    refuse(machine)
    moments_of([machine], clock, 10)
    assert PER_SECOND * CUT < rate_of(queues) < PER_SECOND

    moments_of([machine], clock, 200)

    assert rate_of(queues) == PER_SECOND


def test_a_refusal_before_the_first_ticket_is_nothing(fleet, clock):
    queues = fleet()

    refuse(limiter(queues))

    assert rows(queues) == {}


def test_waiting_clients_of_all_machines_leave_half_of_the_limit_to_purchases(fleet, clock):
    waiting = [limiter(fleet(), is_waiting=True) for _ in range(4)]

    moments = moments_while_time_passes(waiting, clock, 40)

    assert most_within_a_second(moments) <= PER_SECOND * WAITING_SHARE + 1


def test_a_purchase_passes_the_queue_of_waiting_clients(fleet, clock):
    waiting, buying = limiter(fleet(), is_waiting=True), limiter(fleet())
    # A client that really sleeps draws its place in the common queue when its turn among waiting clients has come.
    for _ in range(20):
        waiting._of(ACTION)[0].wait(1e6, lambda seconds: None)

    assert moments_of([buying], clock, 1) == at(0)


def test_a_slower_connection_limits_the_machines_that_have_it_and_no_others(fleet, clock):
    slow, usual = [limiter(fleet(), 0.05) for _ in range(2)], limiter(fleet())
    assert slow[0].wait(ACTION, 60, pytest.fail)

    assert not slow[1].wait(ACTION, 15, pytest.fail)
    assert moments_of([usual], clock, 2) == at(1 / PER_SECOND, 2 / PER_SECOND)


def test_slower_connections_together_stay_at_the_common_limit(fleet, clock):
    queues = fleet()
    crowd = [limiter(queues, 15.0 + number / 10) for number in range(10)]

    moments = moments_of(crowd, clock, 10)

    assert moments[-1] - moments[0] == pytest.approx(9 / PER_SECOND)


def test_accounts_and_actions_do_not_wait_for_each_other(fleet, clock):
    queues = fleet()
    for secret_id, action in [("1", "a"), ("2", "a"), ("1", "b")]:
        assert limiter(queues, 1, secret_id=secret_id).wait(action, 60, pytest.fail)


def test_no_row_names_a_key(fleet, clock):
    queues = fleet()
    moments_of([limiter(queues, 5, secret_id="AKIDverysecret", is_waiting=True)], clock, 1)

    assert len(rows(queues)) == 4
    assert "AKID" not in repr(rows(queues))


def is_mysql(queues):
    return queues._connect().address.kind == "mysql"


def lift_constraints(queues):
    """Let the table take nothing in place of a number, as one that an administrator has changed."""

    def change(connection):
        if connection.dialect.name == "sqlite":
            connection.execute(text(f"CREATE TABLE copy AS SELECT * FROM {TABLE}"))
            connection.execute(text(f"DROP TABLE {TABLE}"))
            connection.execute(text("CREATE UNIQUE INDEX names ON copy (name)"))
            connection.execute(text(f"ALTER TABLE copy RENAME TO {TABLE}"))
        else:
            for column in ("next_at", "rate", "refused_at", "changed_at"):
                connection.execute(text(f"ALTER TABLE {TABLE} ALTER COLUMN {column} DROP NOT NULL"))

    queues._connect().changing(change)


NONSENSE = (-1.0, 0.0, 1e300, -1e300, 5e-324, 1e9, 3e9)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_waits_for_a_row_that_was_edited_to_nonsense_and_it_is_repaired(fleet, clock, seed):
    dice = random.Random(seed)
    queues = fleet()
    machine = limiter(queues)
    moments_of([machine], clock, 1)
    odd = [*NONSENSE]
    if not is_mysql(queues):
        lift_constraints(queues)
        odd += [None, float("nan"), float("inf"), float("-inf")]
    odd += ["text", b"\0"] if "sqlite" in str(queues._connect().address) else []
    names = dice.sample(["next_at", "rate", "refused_at", "changed_at"], dice.randint(1, 4))
    written = {name: dice.choice(odd) for name in names}
    if "next_at" not in written:
        written["next_at"] = clock.now + 2 * LONGEST_QUEUE / PER_SECOND
    if "rate" in written and dice.random() < 0.5:
        refuse(machine)
    set_row(queues, **written)

    moments = moments_of([machine], clock, 3)

    assert moments == at(*(clock.passed + place / PER_SECOND for place in range(3))), written
    ((next_at, rate, _, changed_at),) = rows(queues).values()
    assert [next_at, rate, changed_at] == at(clock.now + 3 / PER_SECOND, PER_SECOND, clock.now)
    clock.now += 2
    refuse(machine)
    assert rate_of(queues) == pytest.approx(PER_SECOND * CUT)
