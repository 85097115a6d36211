"""The command line shows what the server wrote, and the terminal obeys none of it."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest

from airflow_provider_tcbilling.cli import command as cli
from airflow_provider_tcbilling.cli.explain import as_text
from airflow_provider_tcbilling.cli.lookup import Refused
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from tests.api.test_text import steers
from tests.support.nasty import nasty
from tests.support.shop import KEY

EXPLANATION = {
    "asked_at": "2026-11-28T00:00:00Z",
    "state": "intended",
    "where": "here",
    "client_token": "t",
    "record": None,
    "unusable": "it is damaged",
    "notes": ["a note"],
    "order_book": ["no order matches", "a line"],
    "next_step": "Ask again later.",
    "purchase": "edge",
}


def test_no_text_of_the_server_forges_a_line_of_explain():
    plain = as_text(
        {**EXPLANATION, "record": {"reason": "x", "order_id": "x", "payload": {"Zone": "x"}, "instance_ids": ["x"]}}
    )

    for text in nasty(100):
        if not text.strip():
            continue
        record = {"reason": text, "order_id": text, "payload": {"Zone": text}, "instance_ids": [text]}
        facts = {"record": record, "notes": [text], "order_book": ["no order matches", text], "purchase": text}
        shown = as_text({**EXPLANATION, **facts})

        assert shown.count("\n") == plain.count("\n")
        assert [c for c in steers(shown) if c != "\n"] == []


@pytest.mark.parametrize("options", [("list",), ("list", "--json"), ("explain", "--key", KEY), ("explain", "--json")])
def test_no_command_lets_a_record_steer_the_terminal(shop, run, options):
    shop.ordered()
    nasty_one = "\x1b[2J\x9b31m\u202e\u2028paid"
    reason = f"{nasty_one}\nSafe next step:\n  clear it"
    shop.edit(reason=reason, currency=nasty_one, request_id=nasty_one, paid_cents=5)

    _, out, err = run(*options, *(("--key", KEY) if options == ("explain", "--json") else ()))

    assert [c for c in steers(out + err) if c != "\n"] == []
    assert "paid" in out
    assert "\nSafe next step:\n  clear it" not in out
    if "--json" in options:
        assert "\\u001b[2J\\u009b31m\\u202e\\u2028paid" in out
        assert json.loads(out)


def test_whatever_a_command_answers_is_shown_and_not_obeyed(capsys):
    def refuse(chosen):
        raise Refused(chosen.text)

    for text in nasty(50):
        if text.isascii() or text.isprintable():
            for work in (lambda chosen: (chosen.text, 0), refuse):
                cli.Command("test", "for a test", (), work).run(Namespace(text=text))
                shown = "".join(capsys.readouterr())

                assert [c for c in steers(shown) if c != "\n"] == []
                assert shown.count("\n") == text.count("\n") + 1


def test_json_is_json_and_steers_nothing():
    for text in nasty(50):
        written = cli.as_json({"said": text})

        assert [c for c in steers(written) if c != "\n"] == []
        assert json.loads(written) == {"said": text}


def test_what_is_refused_steers_no_terminal_either(shop, run):
    shop.ordered("a\x1b[2J\u202e")

    code, out, err = run("settle", "--key", "a\x1b[2J\u202e", "--not-bought")

    assert code == cli.NOT_DONE
    assert [c for c in steers(out + err) if c != "\n"] == []


def test_the_address_of_an_order_holds_its_number_and_nothing_more(connection, sandbox):
    settings = TcBillingHook().get_settings()

    for text in nasty(50):
        if "\ud800" not in text:
            address = settings.order_url(text)
            assert address.startswith(f"{sandbox.url}/#")
            assert set(address.removeprefix(f"{sandbox.url}/#")) <= set(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~%"
            )
