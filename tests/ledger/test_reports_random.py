"""Random ledgers and order books that were made together: each difference is found, and none is invented."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_tcbilling.ledger.reports import Kind
from airflow_provider_tcbilling.ledger.reports_alike import CLOSE
from airflow_provider_tcbilling.ledger.reports_summary import by_day, by_product, plain_report, totals_of
from tests.support.books import SCENARIOS, World, said_by, world_of

SEEDS = 3_000
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_each_seeded_difference_is_found_and_none_is_invented(part):
    for seed in range(part, SEEDS, PARTS):
        world = world_of(seed)
        report = world.report()

        assert sorted(said_by(report)) == sorted(world.expected), f"seed {seed}"
        assert report.agrees is all(not kind.is_difference for kind, _ in world.expected), f"seed {seed}"
        assert report.book_zone[0] == world.book_zone, f"seed {seed}"
        assert report.others == world.others, f"seed {seed}"


def test_orders_of_one_thing_within_minutes_are_named_and_no_others():
    for seed in range(500):
        world = world_of(seed)
        found = [{line.order_id for line in group} for group in world.report().hints]

        assert all(any(pair <= group for group in found) for pair in world.alike), f"seed {seed}"
        for group in world.report().hints:
            moments = [line.at for line in group]
            assert all(b - a <= CLOSE for a, b in itertools.pairwise(moments)), f"seed {seed}"
            assert len({(line.deals[0].product_code, line.deals[0].sub_product_code) for line in group}) == 1


def test_the_sums_are_those_of_the_lines_whatever_they_are_grouped_by():
    for seed in range(300):
        report = world_of(seed).report()
        for currency, total in totals_of(report).items():
            lines = [line for line in report.lines if line.currency == currency]
            for sums in (by_day(report, lines).values(), by_product(lines).values()):
                assert {name: sum(getattr(one, name) for one in sums) for name in vars(total)} == vars(total)
            free = [line.book_cents or 0 for line in report.of(Kind.NOBODY) if line.currency == currency]
            unnamed = [x.book_cents or 0 for x in report.of(Kind.UNREADABLE) if x.currency == currency and not x.entry]
            assert total.nobody_cents == sum(free) + sum(unnamed)
        assert len(plain_report(report)["lines"]) == len(report.lines)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_each_scenario_is_seeded_within_a_month(scenario):
    worlds = []
    for seed in range(40):
        world = world_of(seed)
        world.expected, world.entries, world.rows, world.alike = [], [], [], []
        scenario(world)
        worlds.append(world)

    assert any(world.entries or world.rows for world in worlds)
    assert scenario.__name__ in ("declined", "of_another_account") or any(world.expected for world in worlds)
    assert all(isinstance(world, World) for world in worlds)
