"""Filters select what they say, and what selects nothing says so with the counts of every filter."""

from __future__ import annotations

import json
import logging
import random
import time

import pytest

from airflow_provider_tcbilling.api.actions import RENEW_FLAGS
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.api.values import RenewFlag
from airflow_provider_tcbilling.waiting.expiry import expiring, query, soon
from airflow_provider_tcbilling.waiting.filters import READERS, Wanted, codes_of, like
from tests.conftest import client_to
from tests.support.account import AUTO, DAY
from tests.support.nasty import accepted

LISTS = [name for name in READERS if name.endswith("codes")]


def instance(name="", **wire):
    return RenewableInstance.from_wire({"InstanceId": "ins-1", "InstanceName": name, **wire})


# Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("[dev]*", "[dev] fw-1", True),
        ("[dev]*", "edge-prod-fw", False),
        ("[!d]*", "edge", False),
        ("fw-[0-9]", "fw-7", False),
        ("fw-[0-9]", "fw-[0-9]", True),
        ("*]", "a]", True),
        ("[", "[", True),
        ("edge-?1", "edge-01", True),
        ("Edge*", "edge", False),
        ("a\\*", "a\\b", True),
        ("*", "", True),
    ],
)
def test_only_stars_and_question_marks_mean_more_than_themselves(pattern, name, expected):
    assert like(name, pattern) is expected
    assert Wanted.read({"name": pattern}).includes(instance(name)) is expected


def matches(text, pattern):
    """Say slowly what a pattern of * and ? matches."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(text[1:], pattern[1:])


def test_a_pattern_matches_as_it_says_whatever_else_stands_in_it():
    chance = random.Random(16)
    for _ in range(5000):
        pattern = "".join(chance.choice("ab*?[]!-^\\.+(") for _ in range(chance.randint(0, 6)))
        text = "".join(chance.choice("ab[]!-^\\.+(\n") for _ in range(chance.randint(0, 6)))
        assert like(text, pattern) is matches(text, pattern), (text, pattern)


# Lists


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_the_same_however_a_template_writes_it(name):
    chance = random.Random(4711)
    for _ in range(300):
        codes = [f"{chance.choice(('p_a', 'ap-x', 'sp_b.c'))}{n}" for n in range(chance.randint(1, 5))]
        for given in (codes, tuple(codes), set(codes), str(codes), str(tuple(codes)), json.dumps(codes), f" {codes}\n"):
            assert sorted(getattr(Wanted.read({name: given}), name)) == sorted(codes), given


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "given",
    [
        *[
            "a, b",
            "a b",
            "a,b",
            "['a'",
            "'a', 'b'",
            "[a, b]",
            '{"a": 1}',
            "[['a']]",
            "['a b']",
            "['a', 7]",
            '""',
            "'a'",
        ],
        *["", " ", "None", "null b", "[]", "['']", "['None']", "['*']", "a\x00", "\u00fc", "a" * 129, "(" * 9999],
        *[None, 7, 7.5, True, [], (), {}, {"a": 1}, [7], [None], [["a"]], ["a", ""], ["*"], b"a", object()],
    ],
    ids=lambda given: repr(given)[:20],
)
def test_what_cannot_be_a_code_is_a_named_mistake(name, given):
    with pytest.raises(InvalidRequest, match=f"{name}: "):
        Wanted.read({name: given})


def test_no_text_is_more_than_codes_or_a_mistake():
    for text, codes in accepted(codes_of, "[]()'\", \\ab_-*\n{}1", longest=14, seed=99):
        assert codes or text.strip() == "*"
        assert all(code.strip("ab_-1") == "" for code in codes)


def test_a_star_lets_every_one_pass_and_so_does_what_is_left_out():
    assert Wanted.read(dict.fromkeys(READERS, "*")) == Wanted.read({}) == Wanted()
    assert Wanted().includes(instance("x", RegionCode="ap-tokyo"))


@pytest.mark.parametrize("given", [AUTO, AUTO.lower(), f" {AUTO} ", [AUTO], str([AUTO])])
def test_a_renew_flag_is_one_of_those_that_there_are(given):
    assert Wanted.read({"renew_flags": given}).renew_flags == (AUTO,)
    for wrong in ("ALWAYS", [AUTO, "ALWAYS"]):
        with pytest.raises(InvalidRequest, match=r"renew_flags: .*NOTIFY_AND_AUTO_RENEW"):
            Wanted.read({"renew_flags": wrong})
    assert Wanted.read({"renew_flags": list(RENEW_FLAGS)}).renew_flags == RENEW_FLAGS


@pytest.mark.parametrize("given", ["AP-Tokyo", " ap-tokyo\n", ["ap-TOKYO"], "['ap-tokyo']"])
def test_codes_are_compared_without_regard_to_case_and_blanks(given):
    assert Wanted.read({"region_codes": given}).includes(instance(RegionCode="ap-tokyo"))
    assert not Wanted.read({"region_codes": given}).includes(instance(RegionCode="ap-tokyo-2"))


@pytest.mark.parametrize("filters", [{"region_codes": "ap-tokyo"}, {"product_codes": "p_x"}, {"renew_flags": AUTO}])
def test_what_the_server_does_not_tell_is_not_selected(filters):
    assert not Wanted.read(filters).includes(instance())


def test_the_filters_are_the_same_after_they_were_stored():
    given = {"product_codes": "['p_a', 'p_b']", "renew_flags": AUTO.lower(), "name": "[dev]*"}
    wanted = Wanted.read(given)

    assert Wanted.read(json.loads(json.dumps(wanted.as_json()))) == wanted
    assert Wanted.read(json.loads(json.dumps(Wanted().as_json()))) == Wanted()


# What is said


@pytest.fixture
def account(sandbox):
    for number in range(12):
        sandbox.account.add_instance(
            expires_at=time.time() + 3 * DAY,
            name=f"edge-{number}",
            product_code="p_a" if number < 8 else "p_b",
            region_code="ap-guangzhou" if number % 2 else "ap-tokyo",
        )
    return sandbox


def log_of(caplog, sandbox, **filters):
    caplog.set_level(logging.INFO)
    caplog.clear()
    found = expiring(client_to(sandbox), time.time(), 14 * DAY, Wanted.read(filters))
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if "expire in" in record.getMessage()]
    return len(found), lines


def test_a_misspelt_region_says_so_with_the_counts_of_each_filter(account, caplog):
    assert log_of(caplog, account, product_codes="p_a", region_codes=["ap-guangzou"], name="edge*") == (
        0,
        [
            (
                "WARNING",
                "12 instances expire in that span; product_codes ['p_a'] leaves 8 of 12; region_codes ['ap-guangzou'] "
                "leaves 0 of 8, and nothing listed has ['ap-guangzou'] (listed: ap-guangzhou, ap-tokyo); name 'edge*' "
                "leaves 0 of 0.",
            )
        ],
    )


def test_a_misspelt_code_beside_a_right_one_says_so(account, caplog):
    count, ((level, line),) = log_of(caplog, account, product_codes=["p_a", "p_firewal"])

    assert (count, level) == (8, "WARNING")
    assert "nothing listed has ['p_firewal'] (listed: p_a, p_b)" in line


@pytest.mark.parametrize("filters", [{"name": "Edge*"}, {"renew_flags": AUTO}, {"name": "x", "product_codes": "p_a"}])
def test_what_selects_nothing_while_something_expires_says_so(account, caplog, filters):
    count, ((level, line),) = log_of(caplog, account, **filters)

    assert (count, level) == (0, "WARNING")
    assert "12 instances expire in that span" in line


def test_what_selects_something_is_told_and_no_warning(account, caplog):
    count, ((level, line),) = log_of(caplog, account, region_codes="ap-tokyo", product_codes=["p_a", "p_b"])

    assert (count, level) == (6, "INFO")
    assert "product_codes ['p_a', 'p_b'] leaves 12 of 12; region_codes ['ap-tokyo'] leaves 6 of 12" in line
    assert log_of(caplog, account) == (12, [])


def test_no_green_run_that_selects_nothing_is_silent(account, caplog):
    chance = random.Random(5)
    values = {
        "product_codes": ["p_a", "p_b", "p_c", ["p_a", "p_x"]],
        "region_codes": ["ap-tokyo", "ap-tokio", "AP-GUANGZHOU"],
        "renew_flags": [AUTO, "NOTIFY_AND_MANUAL_RENEW"],
        "name": ["edge-?", "edge-1?", "*", "nothing"],
    }
    for _ in range(40):
        filters = {name: chance.choice(given) for name, given in values.items() if chance.random() < 0.6}
        count, lines = log_of(caplog, account, **filters)
        assert count or [level for level, _ in lines] == ["WARNING"], filters


def test_a_sensor_s_question_says_it_once(account, caplog):
    question = soon(14 * DAY, Wanted.read({"name": "nothing"}))
    client = client_to(account)
    for _ in range(3):
        assert query(client, question, time.time()) == []

    assert sum("leaves 0 of 12" in record.getMessage() for record in caplog.records) == 1


def test_nothing_that_a_name_or_a_code_says_forges_a_line(sandbox, caplog):
    sandbox.account.add_instance(expires_at=time.time() + DAY, region_code="x\n[ERROR] forged\x1b[2J")

    _, ((_, line),) = log_of(caplog, sandbox, region_codes="ap-tokyo", name="a\nb")

    assert line.isprintable()


@pytest.mark.parametrize("flags", [RenewFlag.AUTO, [RenewFlag.AUTO], "NOTIFY_AND_AUTO_RENEW"])
def test_a_renew_flag_and_its_text_select_the_same(flags):
    read = Wanted.read({"renew_flags": flags}).as_json()["renew_flags"]

    assert read == ["NOTIFY_AND_AUTO_RENEW"]
    assert type(read[0]) is str
