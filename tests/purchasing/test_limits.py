"""Limits: each mistake in a list is named, and each window begins and ends where the calendar of its zone says so."""

from __future__ import annotations

import json
import math
import random
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.limits import A_ZONE, MOST_CENTS, Limit, Window, limits_of

FLEET = {"name": "fleet", "window": "month", "max_cents": 500_000, "currency": "USD"}
MISSING = object()


def limit(**fields):
    return {name: value for name, value in {**FLEET, **fields}.items() if value is not MISSING}


def mistakes_of(value, **options):
    with pytest.raises(InvalidRequest) as caught:
        limits_of(value, **options)
    assert str(caught.value).encode()
    return caught.value.mistakes


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


ODD = [
    *(("max_cents", odd) for odd in (0, -1, -(10**30), MOST_CENTS, 10**400, True, False, 1.0, 1.5, math.nan, math.inf)),
    *(("max_cents", odd) for odd in ("100", "", "1e3", None, [], {}, [100], MISSING)),
    *(
        ("currency", odd)
        for odd in (MISSING, None, "", "usd", "US", "USDT", "US$", "USD ", "USD\n", 840, ["USD"], "\uff35SD")
    ),
    *(("window", odd) for odd in (MISSING, None, "", "week", "Month", "month ", "MONTH", 30, ["day"], {})),
    *(
        ("name", odd)
        for odd in (MISSING, None, "", " ", " a", "a\n", "a\x00b", "a\u202eb", "\ud800", "x" * 65, 7, [], {})
    ),
    *(("product", odd) for odd in (None, "", " ", "*", "p_*", "p cvm", "p_cvm ", "x" * 251, 7, ["p_cvm"], True)),
    *(("origin", odd) for odd in (None, "", " ", "*", "a/b", "a\nb", 7, ["shop"], False)),
]


@pytest.mark.parametrize(("field", "odd"), ODD, ids=[f"{field} {number}" for number, (field, _) in enumerate(ODD)])
def test_an_odd_field_is_one_mistake_that_names_the_limit_and_the_field(field, odd):
    label = "limit number 2" if field == "name" else "limit 'second'"

    (mistake,) = mistakes_of([FLEET, limit(**{"name": "second", field: odd})])

    assert mistake.startswith(f"{label}: {field}")


def test_a_limit_of_zero_is_refused_in_words():
    (mistake,) = mistakes_of([limit(max_cents=0)])

    assert "0 is not a whole number of cents from 1" in mistake
    assert "A limit of 0 or less allows no purchase" in mistake


@pytest.mark.parametrize("slip", ["max_cent", "maxcents", "Max_cents", "dag", "products", "windows", "", "zone"])
def test_a_slip_in_the_name_of_a_field_switches_no_limit_off(slip):
    (mistake,) = mistakes_of([limit(**{slip: 1})])

    assert mistake.startswith(f"limit 'fleet': {slip!r} is not a field of a limit")


def test_a_slip_in_a_field_that_is_needed_is_named_with_the_missing_one():
    assert [mistake.partition(" is ")[0] for mistake in mistakes_of([limit(max_cents=MISSING, max_cent=1)])] == [
        "limit 'fleet': 'max_cent'",
        "limit 'fleet': max_cents",
    ]


@pytest.mark.parametrize("names", [("fleet", "fleet"), ("fleet", "Fleet"), ("fleet", "FLEET", "fleet")])
def test_two_limits_of_one_name_are_a_mistake(names):
    (mistake,) = mistakes_of([limit(name=name) for name in names])

    assert mistake == (
        f"{len(names)} limits have one name, {', '.join(map(repr, names))}, and each needs a name of its own"
    )


def test_an_account_has_one_currency():
    (mistake,) = mistakes_of([limit(), limit(name="two", currency="CNY"), limit(name="three")])

    assert mistake == "they are in CNY and USD, and an account has one currency"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "the list is empty"),
        ("[]", "the list is empty"),
        ((), "the list is empty"),
        ("", "the JSON text of one"),
        ("fleet: 100", "the JSON text of one"),
        ("[" * 100_000, "the JSON text of one"),
        ("[{", "the JSON text of one"),
        ("null", "a value of type NoneType is none"),
        (None, "a value of type NoneType is none"),
        (FLEET, "a value of type dict is none"),
        (json.dumps(FLEET), "a value of type dict is none"),
        (7, "a value of type int is none"),
        (True, "a value of type bool is none"),
        ({"fleet": 100}.keys(), "a value of type dict_keys is none"),
    ],
)
def test_a_value_that_is_no_list_of_limits_is_a_mistake(value, text):
    (mistake,) = mistakes_of(value)

    assert text in mistake


@pytest.mark.parametrize("entry", [None, 7, "fleet", [FLEET], [], True, math.nan])
def test_an_entry_that_is_no_object_is_a_mistake_that_has_its_place(entry):
    (mistake,) = mistakes_of([FLEET, entry])

    assert mistake.startswith("limit number 2: a value of type")


@pytest.mark.parametrize("depth", [3, 30, 5_000])
@pytest.mark.parametrize("field", ["name", "window", "max_cents", "currency", "product"])
def test_a_value_that_is_nested_too_deep_is_a_mistake(field, depth):
    (mistake,) = mistakes_of([limit(**{field: nested(depth)})])

    assert field in mistake


def test_a_field_that_stands_twice_in_the_text_is_a_mistake():
    text = json.dumps([FLEET]).replace('"max_cents": 500000', '"max_cents": 500000, "max_cents": 900000')

    (mistake,) = mistakes_of(text)

    assert mistake.startswith("limit 'fleet': max_cents: [500000, 900000] is not")


def test_all_mistakes_are_named_at_once():
    mistakes = mistakes_of(
        [
            limit(max_cents=0, window="week"),
            limit(name="", currency="usd"),
            limit(name="fleet", colour="red"),
            7,
        ]
    )

    assert [re.match(r"limit (?:'\w+'|number \d): '?\w+|\d limits", mistake)[0] for mistake in mistakes] == [
        "limit 'fleet': window",
        "limit 'fleet': max_cents",
        "limit number 2: name",
        "limit number 2: currency",
        "limit 'fleet': 'colour",
        "limit number 4: a",
        "2 limits",
    ]


def test_a_value_that_steers_a_terminal_is_shown_as_an_escape():
    for odd in ({"name": "a\x1b[2J"}, {"product": "\x1b]0;x\x07"}, {"\u202emax_cents": 1}):
        (mistake,) = mistakes_of([limit(**odd)])
        assert mistake.isprintable()


@pytest.mark.parametrize("form", [lambda limits: limits, json.dumps, tuple, lambda limits: json.dumps(limits).encode()])
def test_limits_are_read_from_a_list_and_from_its_text(form):
    rows = [limit(), limit(name="shop a day", window="day", max_cents=1, product="p_cvm", origin="shop.daily")]

    assert limits_of(form(rows)) == (
        Limit("fleet", Window.MONTH, 500_000, "USD"),
        Limit("shop a day", Window.DAY, 1, "USD", "p_cvm", "shop.daily"),
    )


def test_the_origin_has_the_name_that_the_caller_gives_it():
    assert limits_of([limit(dag="shop")], "dag") == (Limit("fleet", Window.MONTH, 500_000, "USD", origin="shop"),)
    assert "'origin' is not a field of a limit" in mistakes_of([limit(origin="shop")], origin_field="dag")[0]


@pytest.mark.parametrize(
    ("product", "origin", "counted"),
    [
        ("", "", True),
        ("p_cvm", "", True),
        ("", "shop", True),
        ("p_cvm", "shop", True),
        ("p_cbs", "", False),
        ("", "sho", False),
        ("p_cvm", "other", False),
        ("p_cbs", "shop", False),
    ],
)
def test_a_limit_counts_its_own_product_and_origin(product, origin, counted):
    assert Limit("l", Window.DAY, 1, "USD", product, origin).counts("p_cvm", "shop") is counted


@pytest.mark.parametrize("window", [Window.ORDER, Window.RUN])
def test_no_calendar_ends_an_order_or_a_run(window):
    assert Limit("l", window, 1, "USD").span(0.0, "UTC") == (-math.inf, math.inf)


def moment(text, zone):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "now", "begin", "end"),
    [
        ("day", "UTC", "2026-11-30T00:00+00:00", "2026-11-30T00:00+00:00", "2026-12-01T00:00+00:00"),
        ("day", "UTC", "2026-11-30T23:59:59.999+00:00", "2026-11-30T00:00+00:00", "2026-12-01T00:00+00:00"),
        ("month", "UTC", "2026-11-30T23:59:59.999+00:00", "2026-11-01T00:00+00:00", "2026-12-01T00:00+00:00"),
        ("month", "Asia/Shanghai", "2026-11-30T15:59:59+00:00", "2026-11-01T00:00+08:00", "2026-12-01T00:00+08:00"),
        ("month", "Asia/Shanghai", "2026-11-30T16:00+00:00", "2026-12-01T00:00+08:00", "2027-01-01T00:00+08:00"),
        ("day", "Asia/Shanghai", "2026-12-31T16:00+00:00", "2027-01-01T00:00+08:00", "2027-01-02T00:00+08:00"),
        ("month", "UTC", "2028-02-29T12:00+00:00", "2028-02-01T00:00+00:00", "2028-03-01T00:00+00:00"),
        ("month", "UTC", "2026-01-31T12:00+00:00", "2026-01-01T00:00+00:00", "2026-02-01T00:00+00:00"),
        # 23 and 25 hours.
        ("day", "Europe/Berlin", "2026-03-29T12:00+02:00", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("day", "Europe/Berlin", "2026-10-25T02:30+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("month", "Europe/Berlin", "2026-10-31T23:59:59+01:00", "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00"),
        # Clocks change at midnight: the hour of 0 is there twice, and in the other two not at all.
        ("day", "America/Havana", "2026-11-01T00:30-04:00", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        ("day", "America/Havana", "2026-11-01T00:30-05:00", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"),
        ("month", "America/Havana", "2026-11-01T00:30-04:00", "2026-11-01T00:00-04:00", "2026-12-01T00:00-05:00"),
        ("day", "Africa/Cairo", "2026-04-24T01:00+03:00", "2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"),
        ("day", "America/Santiago", "2026-09-05T23:59:59-04:00", "2026-09-05T00:00-04:00", "2026-09-06T01:00-03:00"),
        # The whole of 30 December 2011 was left out there.
        ("day", "Pacific/Apia", "2011-12-29T23:00-10:00", "2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00"),
    ],
)  # fmt: skip
def test_a_window_begins_and_ends_where_the_calendar_says_so(window, zone, now, begin, end):
    found = Limit("l", Window(window), 1, "USD").span(datetime.fromisoformat(now).timestamp(), zone)

    assert found == tuple(datetime.fromisoformat(text).timestamp() for text in (begin, end))


ZONES = (
    *("Asia/Shanghai", "UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "America/Santiago", "Asia/Beirut"),
    *("Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati", "Africa/Casablanca", "Etc/GMT+12"),
)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("window", [Window.DAY, Window.MONTH])
def test_each_moment_lies_in_one_window_and_windows_follow_each_other(window, zone):
    dice, limit = random.Random(f"{zone} {window}"), Limit("l", window, 1, "USD")
    first = moment("2000-01-01", "UTC")

    for _ in range(300):
        now = first + dice.random() * 60 * 365 * 86_400
        begin, end = limit.span(now, zone)

        assert begin <= now < end
        assert {limit.span(at, zone) for at in (begin, (begin + end) / 2, end - 1e-3)} == {(begin, end)}
        assert limit.span(end, zone)[0] == end
        assert limit.span(begin - 1e-3, zone)[1] == begin


@pytest.mark.parametrize("zone", ZONES)
def test_all_moments_of_a_window_have_one_date_in_its_zone(zone):
    """The standard library is the judge: it knows nothing of our way to find the first moment."""
    dice, limit = random.Random(zone), Limit("l", Window.DAY, 1, "USD")

    for _ in range(300):
        now = moment("2000-01-01", "UTC") + dice.random() * 60 * 365 * 86_400
        begin, end = limit.span(now, zone)
        date, step = datetime.fromtimestamp(now, ZoneInfo(zone)).date(), timedelta(milliseconds=1)

        first, last = datetime.fromtimestamp(begin, ZoneInfo(zone)), datetime.fromtimestamp(end, ZoneInfo("UTC"))
        assert (first.date(), (last - step).astimezone(ZoneInfo(zone)).date()) == (date, date)
        assert (first.astimezone(ZoneInfo("UTC")) - step).astimezone(ZoneInfo(zone)).date() < date
        assert last.astimezone(ZoneInfo(zone)).date() > date


@pytest.mark.parametrize(
    "odd", ["", "local", "localtime", "posixrules", "asia/shanghai", "+08:00", "UTC ", "../UTC", "\x00", 8, None, []]
)
def test_a_zone_that_is_none_everywhere_is_refused(odd):
    assert not A_ZONE.accepts(odd)


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_has_its_name_of_the_tz_database(zone):
    assert A_ZONE.of("c", "limits_zone", zone) == zone
