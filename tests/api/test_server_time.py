"""The server's times have no zone, so every reading allows for both that they may be of."""

from __future__ import annotations

import math

import pendulum
import pytest

from airflow_provider_tcbilling.api.server_time import (
    earliest,
    first_of,
    is_after,
    last_of,
    later,
    moments_of,
    months_of,
    readings,
)


def at(time):
    return pendulum.parse(time).timestamp()


def test_a_moment_is_searched_for_in_both_zones():
    assert first_of(at("2026-12-31T20:00:00Z")) == "2026-12-31 20:00:00"
    assert last_of(at("2026-12-31T20:00:00Z")) == "2027-01-01 04:00:00"


def test_a_local_time_is_one_of_two_moments_and_the_earlier_one_counts():
    assert readings("2027-01-01 04:00:00") == [at("2026-12-31T20:00:00Z"), at("2027-01-01T04:00:00Z")]
    assert earliest("2027-01-01 04:00:00") == at("2026-12-31T20:00:00Z")


@pytest.mark.parametrize("text", ["", "null", "2027-01-01", "2027-01-01T00:00:00Z", "2027-13-01 00:00:00"])
def test_what_is_no_local_time_never_comes(text):
    assert earliest(text) == math.inf


@pytest.mark.parametrize(
    ("was", "months", "becomes"),
    [
        ("2027-01-31 08:00:00", 1, "2027-02-28 08:00:00"),
        ("2028-01-31 08:00:00", 1, "2028-02-29 08:00:00"),
        ("2028-02-29 08:00:00", 12, "2029-02-28 08:00:00"),
        ("2027-03-31 23:59:59", 1, "2027-04-30 23:59:59"),
        ("2026-12-31 00:00:00", 2, "2027-02-28 00:00:00"),
        ("2027-01-30 08:00:00", 36, "2030-01-30 08:00:00"),
    ],
)
def test_a_month_later_is_the_same_day_or_the_last_one(was, months, becomes):
    assert later(was, months) == becomes


def test_periods_are_compared_in_months_and_unknown_units_are_none():
    assert [months_of(*period) for period in [(2, "m"), (1, "y"), (3, "M"), (30, "d")]] == [2, 12, 3, 0]


def test_a_time_with_a_zone_is_one_moment_and_one_without_counts_as_the_servers():
    assert moments_of("2027-01-01T00:00:00+00:00") == [at("2027-01-01T00:00:00Z")] * 2
    assert moments_of("2027-01-01 00:00:00") == [at("2026-12-31T16:00:00Z"), at("2027-01-01T00:00:00Z")]


@pytest.mark.parametrize("text", ["soon", "", "P14D", "2027-02-30 00:00:00"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(ValueError, match=r"is not a time|Unable to parse|out of range"):
        moments_of(text)


@pytest.mark.parametrize(
    ("local_time", "other", "says"),
    [
        ("2027-02-01 00:00:01", "2027-02-01 00:00:00", True),
        ("2027-02-01 00:00:00", "2027-02-01 00:00:00", False),
        ("2027-02-01 08:00:01", "2027-02-01T00:00:00Z", True),
        ("2027-02-01 08:00:00", "2027-02-01T00:00:00Z", False),
        ("2027-02-01 07:00:00", "2027-02-01T00:00:00Z", False),
    ],
)
def test_after_is_said_only_if_it_is_so_in_both_zones(local_time, other, says):
    assert is_after(local_time, other) is says
