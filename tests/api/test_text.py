"""Text from the server is data: no template, no markup, no link, no line and no command to a terminal comes of it."""

from __future__ import annotations

import logging
import pickle
import re
import unicodedata
from dataclasses import replace

import jinja2
import pytest

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.errors import AuthError, OutcomeUnknown, TcBillingError, api_error
from airflow_provider_tcbilling.api.models import Deal, Order, RenewableInstance
from airflow_provider_tcbilling.api.text import NUMBER, harmless, in_markdown, inert, lines_of, matching
from airflow_provider_tcbilling.purchasing.approval import Question
from airflow_provider_tcbilling.purchasing.limits import Limit
from airflow_provider_tcbilling.waiting.expiry import Wanted
from tests.api.test_errors import ALL, ARGUMENTS
from tests.support.nasty import SECRET, nasty

TEMPLATE_EXTENSIONS = (".sh", ".bash", ".json", ".sql", ".md", ".py", ".html", ".txt", ".yaml")

DELIMITERS = (
    {},
    {"line_statement_prefix": "%", "line_comment_prefix": "##"},
    {"line_statement_prefix": "#"},
    {"variable_start_string": "${", "variable_end_string": "}"},
    {"variable_start_string": "<<", "variable_end_string": ">>"},
    {"variable_start_string": "[[", "variable_end_string": "]]", "block_start_string": "<%", "block_end_string": "%>"},
)
"""What a Dag's jinja_environment_kwargs may say."""


def steers(text):
    """Return the characters of a text that a terminal obeys, or that show nothing."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


ENVIRONMENTS = [jinja2.Environment(keep_trailing_newline=True, **delimiters) for delimiters in DELIMITERS]


def listed(text, **more):
    fields = ("ProductCode", "SubProductCode", "RegionCode", "Status", "RenewFlag", "ExpireTime", "InstanceName")
    return {**dict.fromkeys(fields, text), "InstanceId": "ins-1", "RenewPeriodUnit": text, **more}


def test_a_harmless_text_is_one_bounded_line_that_steers_nothing():
    for text in nasty():
        shown = harmless(text, 100)

        assert not steers(shown)
        assert len(shown) <= 100


def test_what_tasks_hand_on_is_rendered_to_itself_and_is_the_name_of_no_template():
    for text in nasty(60):
        instance = RenewableInstance.from_wire(listed(text))
        for handed_on in {*instance.renewal_arguments().values(), *instance.as_dict().values()} - {0}:
            assert not handed_on.endswith(TEMPLATE_EXTENSIONS)
            for environment in ENVIRONMENTS:
                assert environment.from_string(handed_on).render(conn="a secret") == handed_on


def test_a_name_of_letters_digits_and_blanks_is_handed_on_as_it_is():
    for name in ("edge-1", "web 2 (prod)", "防火墙_3", "v1.2 a", "a:b/c@d+e,f=g"):
        assert inert(name) == name
    assert inert("report.sh") == "report.sh."
    assert inert(SECRET) == "__ conn.tcbilling_default.password __"


def test_a_cell_holds_no_markup_that_a_reader_of_markdown_obeys():
    markdown_it = pytest.importorskip("markdown_it")
    pytest.importorskip("linkify_it")
    reader = markdown_it.MarkdownIt("gfm-like", {"html": True})

    for text in nasty():
        cell = in_markdown(text)
        html = reader.render(f"| Expires | Name | Paid |\n| --- | --- | --- |\n| now | {cell} | 9900.00 USD |\n")

        assert re.findall(r"</?(\w+)", html.replace("\n", "")) == re.findall(
            r"</?(\w+)",
            reader.render("| A | B | C |\n| --- | --- | --- |\n| a | b | c |\n").replace("\n", ""),
        )
        assert html.count("<td>") == 3
        assert not steers(cell)
        assert not re.search(r"[|\n`<>\[\]]|https?://|www\.|\w@|@\w+\.\w", cell, re.IGNORECASE)


def test_a_plain_cell_reads_as_it_was():
    for text in (
        "later",
        "2027-01-31 08:00:00",
        "ins-1a2b",
        "p_cloudfirewall",
        "100.00 USD",
        "防火墙 3",
        "renews itself",
    ):
        assert in_markdown(text) == text


def test_in_a_text_of_several_lines_only_the_line_breaks_are_obeyed():
    for text in nasty():
        assert [c for c in steers(lines_of(text)) if c != "\n"] == []
        assert lines_of(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_no_text_in_an_error_makes_a_line_of_its_own_or_steers_a_terminal(cls):
    arguments = ARGUMENTS.get(cls) or (("A", "C.D", "m", "r") if issubclass(cls, errors.ApiError) else ("text",))
    lines = len(str(cls(*arguments)).split("\n"))

    for text in nasty(50):
        parts = [_hostile(a, text) for a in arguments]
        shown = str(cls(*parts))

        assert len(shown.split("\n")) == lines
        assert [c for c in steers(shown) if c != "\n"] == []


def _hostile(argument, text):
    """Return an argument of an error with a hostile text in each place that holds a text."""
    if isinstance(argument, Limit):
        return replace(argument, name=text)
    if isinstance(argument, Question):
        return replace(argument, code=text, currency=text)
    if isinstance(argument, (list, tuple)):
        return [text] * len(argument)
    return argument if isinstance(argument, int) else text


def test_what_the_server_says_of_an_error_is_bounded_and_forges_no_line(caplog):
    for text in nasty():
        error = api_error("CreateInstance", {"Code": text, "Message": text}, text)
        logging.getLogger("x").warning("%s", error)

        assert not steers(error.code + error.message + error.request_id)
        assert (len(error.message) <= 500, len(error.request_id) <= 128) == (True, True)
        assert len(caplog.records[-1].getMessage().splitlines()) == 1


@pytest.mark.parametrize(
    "code", ["AuthFailure.\x1b[2J", "InvalidParameter.x\n", "AuthFailure. ", "LimitExceeded.{{ x }}"]
)
def test_what_does_not_look_like_a_code_refuses_nothing(code):
    error = api_error("CreateInstance", {"Code": code, "Message": "no"}, "1")

    assert (type(error), error.ambiguous, error.transient) == (errors.ApiError, True, False)


def test_an_error_names_the_order_that_was_placed_before_it_also_after_pickling():
    error = AuthError("DescribeDealsByCond", "UnauthorizedOperation", "no", "1")
    error.report = [*error.lines(), "Order 2026 was placed and paid before this."]

    copy = pickle.loads(pickle.dumps(error))

    assert str(copy) == str(error) == f"{AuthError(*error.args)}\nOrder 2026 was placed and paid before this."
    assert (type(copy), copy.transient, copy.ambiguous) == (AuthError, False, False)


ODD = [text for text in nasty(100) if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text)]


def test_a_number_that_cannot_be_one_is_no_order():
    for text in ODD:
        for answer in ({"OrderId": text}, {"OrderIdList": [text]}):
            with pytest.raises(ValueError, match="number"):
                Order.from_wire(answer, "token")
        deal = Deal.from_wire({"OrderId": text, "BigDealId": text, "ResourceId": ["ins-1", text], "Status": 4})
        assert (deal.order_id, deal.big_deal_id) == ("", "")
        assert all(re.fullmatch(r"[\w.:*-]+", one) for one in deal.resource_ids)


def test_what_a_number_comes_with_is_left_out_where_it_cannot_be_what_it_should():
    for text in ODD:
        order = Order.from_wire(
            {"OrderId": "1", "RequestId": text, "InstanceIdList": ["ins-1", text, None, 7]}, "token"
        )

        assert (order.order_id, order.request_id) == ("1", "")
        assert "ins-1" in order.instance_ids
        assert all(re.fullmatch(r"[\w.:*-]+", one) for one in order.instance_ids)


def test_an_instance_without_a_usable_id_is_left_out_of_the_list_and_told(client, sandbox, caplog):
    for text in ("", "a b", SECRET, "ins|1", None, 7, ["ins-1"], "x" * 129):
        answer = {"InstanceList": [listed("NORMAL", InstanceId=one) for one in ("ins-1", text, " *.example.com\n")]}
        sandbox.faults.add({"fault": "answer", "response": answer, "action": "DescribeRenewInstances"})
        caplog.clear()

        instances, _ = client.describe_renew_instances()

        assert [instance.instance_id for instance in instances] == ["ins-1", "*.example.com"]
        (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert "is left out of the list" in warning.getMessage()


def test_a_failed_setting_is_told_in_words_that_steer_nothing(client, sandbox):
    failure = {"Code": 1, "Message": "no\x1b[2J\nINFO - done", "InstanceId": "i"}
    sandbox.faults.add({"fault": "answer", "response": {"InstanceList": [failure]}, "action": "SetRenewal"})

    failures = client.set_renewal(
        product_code="p_cos", region_code="ap-others", instance_id="i", renew_flag="NOTIFY_AND_AUTO_RENEW"
    )

    assert failures == [{"Code": 1, "Message": "no\\x1b[2J\\nINFO - done", "InstanceId": "i"}]


def test_a_long_answer_makes_no_long_message(client, sandbox):
    sandbox.faults.add({"fault": "answer", "response": {"OrderId": "{" * 100_000}, "action": "CreateInstance"})

    with pytest.raises(TcBillingError) as caught:
        client.create_instance(
            client_token="t",
            product_code="p_x",
            sub_product_code="sp_x",
            region_code="ap-guangzhou",
            zone_code="ap-guangzhou-1",
            parameter={},
        )

    assert type(caught.value) is OutcomeUnknown
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("number", ["20260101", "deal-7", "a_B-9"])
def test_a_number_of_an_order_is_letters_and_digits(number):
    assert matching(number, NUMBER) == number


@pytest.mark.parametrize(
    "number", [None, "", 7, 7.5, True, " 20260101", ["20260101"], "two words", "x" * 65, "../7", "7\x00", "七"]
)
def test_anything_else_is_no_number_of_an_order(number):
    assert matching(number, NUMBER) == ""


@pytest.mark.parametrize(
    "name",
    ["\u2764\ufe0f prod", "\U0001f468\u200d\U0001f469 family", "\u0641\u0627\u200c\u0646", "生产[1]", "tab\there"],
)
def test_a_pattern_finds_an_instance_by_its_real_name(name):
    instance = RenewableInstance.from_wire({"InstanceId": "ins-1", "InstanceName": name})

    assert Wanted(name=name).includes(instance)
    assert Wanted(name=f"{name[:2]}*").includes(instance)
    assert not Wanted(name="prod").includes(instance)


@pytest.mark.parametrize("code", ["sp_redis_v2.8", "2027-01-31 08:00:00.0", "1.0"])
def test_a_number_after_a_dot_is_no_template_s_extension(code):
    assert inert(code) == code


@pytest.mark.parametrize("name", ["x" * 300, "y" * 246 + ".sh", "\u202e" * 300])
def test_a_name_fits_where_airflow_keeps_what_it_renders_of_it(name):
    instance = RenewableInstance.from_wire({"InstanceId": "ins-1", "InstanceName": name})

    assert len(instance.renewal_arguments()["instance_name"]) <= 250
