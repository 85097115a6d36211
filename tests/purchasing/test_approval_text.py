"""The text of a question: the price first, the sum computed from cents, and nothing in it is more than text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.purchasing.approval import UNKNOWN_REQUESTER
from airflow_provider_tcbilling.purchasing.approval_text import (
    MAX_ROWS,
    REFUSE,
    approving_option,
    batch_body,
    batch_option,
    batch_subject,
    body_of,
    options_of,
    subject_of,
    total_of,
)
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from tests.purchasing.test_approval import QUESTION, question_of
from tests.support.nasty import nasty


def test_the_first_line_is_the_price():
    assert body_of(QUESTION).startswith("**At most 100.00 USD**\n")
    assert subject_of(QUESTION) == "At most 100.00 USD: buy p_test"


def test_an_option_carries_the_price_and_the_code():
    assert options_of(QUESTION) == [f"Buy for at most 100.00 USD [{QUESTION.code}]", REFUSE]
    assert approving_option(replace(QUESTION, action="RenewInstance")).startswith("Renew for at most 100.00 USD [")
    assert approving_option(replace(QUESTION, action="Other")).startswith("Pay for at most")


def test_the_total_is_computed_from_cents_and_currencies_are_not_mixed():
    batch = [question_of(max_cents=1), question_of(max_cents=99), question_of(max_cents=7, currency="CNY")]

    assert total_of(batch) == "1.00 USD and 0.07 CNY"
    assert total_of([question_of(max_cents=2**53 + 1), question_of(max_cents=2)]) == "90071992547409.95 USD"


def test_the_body_names_all_that_the_code_binds_and_who_may_answer():
    question = question_of(ApprovalRules(0, ("alice", "bob"), valid_for=3600.0), requester="carol")

    body = body_of(question)

    for part in ("100000000001", "web", "CreateInstance", "carol", "alice, bob", "1 hour", question.code):
        assert part in body.replace("&#45;", "-")
    assert "by its schedule" in body_of(QUESTION)
    assert "whose name is not known" in body_of(replace(QUESTION, requester=UNKNOWN_REQUESTER))


def test_no_text_of_a_user_or_a_server_is_markup_a_link_or_a_template():
    for text in nasty(100):
        body, *lines = texts_of(text)

        assert not re.search(r"[`<>\[\]{}]|https?://|www\.|\w@|@\w+\.\w", body, re.IGNORECASE)
        assert body.count("\n") == texts_of("plain")[0].count("\n")
        assert all(line.isprintable() for line in body.split("\n"))
        for line in lines:
            assert not re.search(r"[`<>{}]|\]\(|%", line)
            assert line.isprintable()


def test_a_reader_of_markdown_finds_the_same_elements_whatever_the_text_is():
    markdown_it = pytest.importorskip("markdown_it")
    pytest.importorskip("linkify_it")
    reader = markdown_it.MarkdownIt("gfm-like", {"html": True})
    plain = re.findall(r"</?(\w+)", reader.render(texts_of("plain")[0]))

    for text in nasty(100):
        assert re.findall(r"</?(\w+)", reader.render(texts_of(text)[0])) == plain


def texts_of(text):
    """Return the texts of a question that holds one text everywhere."""
    key = f"k{text}".encode(errors="replace").decode()
    question = replace(
        question_of(ApprovalRules(0, (text,)), requester=f"r{text}", key=key),
        payload_shown={"ProductCode": text, "Parameter": json.dumps({f"p{text}": text}), f"f{text}": text},
        account=f"a{text}",
        endpoint=text,
        currency=f"U{text}",
        price_from=text,
        action=text,
    )
    batch = [question, QUESTION]
    lines = [subject_of(question), *options_of(question), batch_subject(batch), batch_option(batch)]
    return [f"{body_of(question)}\n\n{batch_body(batch)}", *lines]


def test_a_long_request_is_bounded_and_says_what_it_leaves_out():
    payload = {"ProductCode": "p" * 10_000, "Parameter": json.dumps({f"field{n}": "v" * 10_000 for n in range(5_000)})}

    body = body_of(replace(QUESTION, payload_shown=payload, key="k" * 10_000))

    assert len(body) < 40_000
    assert f"{5_001 - MAX_ROWS} more fields" in body
    assert len(subject_of(replace(QUESTION, payload_shown=payload))) < 200
    assert len(approving_option(replace(QUESTION, currency="U" * 10_000))) < 200


def test_a_batch_shows_the_total_first_and_each_price_with_its_purchase():
    batch = [question_of(key="web"), question_of(key="db", max_cents=5_000)]

    lines = batch_body(batch).split("\n")

    assert lines[0] == "**At most 150.00 USD in all, for 2 purchases**"
    assert [line.split(" | ")[0] for line in lines if "CreateInstance" in line] == ["| 100.00 USD", "| 50.00 USD"]
    assert batch_subject(batch) == "At most 150.00 USD in all: 2 purchases"
    assert batch_option(batch).startswith("Buy all 2 for at most 150.00 USD [")
    assert batch_option([batch[0], replace(batch[1], action="RenewInstance")]).startswith("Pay all 2 for at most")


def test_the_option_of_a_batch_binds_each_purchase_whatever_their_order():
    batch = [question_of(key="web"), question_of(key="db", max_cents=5_000)]

    assert batch_option(batch) == batch_option(batch[::-1])
    for other in (
        batch[:1],
        [*batch, question_of(key="cache", max_cents=0)],
        [question_of(key="web", max_cents=5_000), question_of(key="db", max_cents=10_000)],
        [question_of(key="web", generation=1), batch[1]],
    ):
        assert batch_option(other).partition("[")[2] != batch_option(batch).partition("[")[2]


def test_a_deep_parameter_is_shown_as_text():
    deep = {"a": {"b": {"c": {"d": {"e": 1}}}}, "list": [1, 2], "broken": "{no json"}

    body = body_of(replace(QUESTION, payload_shown=deep))

    assert "a.b.c" in body.replace("a .b .c", "a.b.c")
    assert "no json" in body
