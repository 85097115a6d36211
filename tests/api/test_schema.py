"""Arguments against the table: everything wrong is said at once, and before anything is sent."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.api.actions import (
    CREATE_INSTANCE,
    DESCRIBE_DEALS_BY_COND,
    DESCRIBE_RENEW_INSTANCES,
    SET_RENEWAL,
)
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.values import DealAction, InstanceState, RenewFlag
from tests.conftest import ORDER

GOOD = {**ORDER, "client_token": "t-1", "pay_mode": "PrePay"}


def mistakes_of(**changes):
    with pytest.raises(InvalidRequest) as caught:
        CREATE_INSTANCE.payload({**GOOD, **changes})
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"product_code": None}, "product_code: missing", id="missing"),
        pytest.param({"zone_code": ""}, "zone_code: missing", id="empty text is not given"),
        pytest.param({"zone_code": "  "}, "zone_code: missing", id="blank text is not given"),
        pytest.param({"period": 0}, "period: 0 is below the minimum, 1", id="period 0"),
        pytest.param({"period": 37}, "period: 37 is above the maximum, 36", id="period 37"),
        pytest.param({"period": "2.5"}, "period: '2.5' is not a whole number", id="period 2.5"),
        pytest.param({"period": 2.5}, "period: 2.5 is not a whole number", id="a fraction"),
        pytest.param({"zone_code": "None"}, "zone_code: given, but its template rendered to 'None'", id="None as text"),
        pytest.param({"period": True}, "period: True is not a whole number", id="True is not 1"),
        pytest.param({"period": "٣"}, "period: '٣' is not a whole number", id="only ASCII digits"),
        pytest.param({"period_unit": "d"}, "period_unit: 'd' is not one of m, y", id="days"),
        pytest.param({"renew_flag": "MAYBE"}, "renew_flag: 'MAYBE' is not one of NOTIFY_AND_MANUAL", id="renew flag"),
        pytest.param({"pay_mode": "PostPay"}, "pay_mode: 'PostPay' is not one of PrePay", id="pay mode"),
        pytest.param({"quantity": 0}, "quantity: 0 is below the minimum, 1", id="quantity 0"),
        pytest.param({"project_id": -1}, "project_id: -1 is below the minimum, 0", id="project"),
        pytest.param({"client_token": "t" * 65}, "client_token: 65 characters are more than 64", id="long token"),
        pytest.param({"client_token": "tökén"}, "holds characters outside ASCII", id="token not ASCII"),
        pytest.param({"product_code": 7}, "product_code: 7 is not text", id="a number is not text"),
        pytest.param({"parameter": "{pid: 1}"}, "parameter: not JSON:", id="not JSON"),
        pytest.param({"parameter": "[1]"}, "parameter: JSON, but not an object", id="a list"),
        pytest.param(
            {"parameter": 5}, "parameter: a value of type int is neither a mapping nor JSON text", id="a number"
        ),
        pytest.param({"parameter": {"a": object()}}, "parameter: not JSON:", id="not serialisable"),
        pytest.param({"parameter": {"a": float("nan")}}, "parameter: not JSON:", id="NaN"),
        pytest.param(
            {"parameter": {"timeSpan": 2}}, "its timeSpan is 2, but period is 1", id="timeSpan, default period"
        ),
        pytest.param(
            {"parameter": {"timeSpan": 1}, "period": 12}, "its timeSpan is 1, but period is 12", id="timeSpan"
        ),
        pytest.param({"parameter": {"timeSpan": True}}, "its timeSpan is True, but period is 1", id="timeSpan True"),
        pytest.param({"parameter": {"timeUnit": "y"}}, "its timeUnit is 'y', but period_unit is 'm'", id="timeUnit"),
        pytest.param({"parameter": {"goodsNum": 3}}, "its goodsNum is 3, but quantity is 1", id="goodsNum"),
        pytest.param({"parameter": {"productCode": "p_x"}}, "but product_code is 'p_cloudfirewall'", id="productCode"),
        pytest.param({"parameter": {"subProductCode": "s"}}, "but sub_product_code is 'sp_cloud", id="subProductCode"),
        pytest.param({"colour": "red"}, "colour: CreateInstance has no such field", id="unknown field"),
    ],
)
def test_a_mistake_is_said_in_words(changes, expected):
    assert expected in mistakes_of(**changes)


def test_all_mistakes_are_said_in_one_message():
    text = mistakes_of(product_code=None, period=99, quantity="many", parameter="nonsense", client_token="x" * 70)

    assert text.startswith("CreateInstance: nothing was sent, because")
    assert text.count("\n  - ") == 5


def test_an_unreadable_field_is_not_compared_with_the_parameter():
    assert mistakes_of(period="2.5", parameter={"timeSpan": 2}).count("\n  - ") == 1


def test_rendered_templates_are_read_as_what_they_mean():
    payload = CREATE_INSTANCE.payload(
        {**GOOD, "period": " 1\n", "quantity": "", "project_id": "7", "region_code": " r "}
    )

    assert (payload["Period"], payload["ProjectId"], payload["RegionCode"]) == (1, 7, "r")
    assert "Quantity" not in payload


def test_the_servers_defaults_are_not_sent():
    assert set(CREATE_INSTANCE.payload(GOOD)) == {
        "ClientToken",
        "ProductCode",
        "SubProductCode",
        "RegionCode",
        "ZoneCode",
        "PayMode",
        "Parameter",
    }


def test_a_mapping_and_its_json_text_give_the_same_bytes_in_any_key_order():
    mapping = {"timeSpan": 1, "pid": 1002147, "name": "é"}
    as_mapping = CREATE_INSTANCE.payload({**GOOD, "parameter": mapping})
    as_text = CREATE_INSTANCE.payload({**GOOD, "parameter": json.dumps(dict(reversed(mapping.items())), indent=2)})

    assert as_mapping["Parameter"] == as_text["Parameter"]
    assert json.loads(as_text["Parameter"]) == mapping


def test_lists_are_checked_item_by_item():
    with pytest.raises(InvalidRequest, match="status_set: 'a' is not a whole number"):
        DESCRIBE_DEALS_BY_COND.payload(
            {"start_time": "2026-01-01 00:00:00", "end_time": "2026-01-02 00:00:00", "limit": 1, "status_set": [1, "a"]}
        )
    with pytest.raises(InvalidRequest, match="101 items are more than 100"):
        DESCRIBE_RENEW_INSTANCES.payload({"max_results": 1, "instance_id_list": ["i"] * 101})
    with pytest.raises(InvalidRequest, match="'ins-1' is not a list"):
        DESCRIBE_RENEW_INSTANCES.payload({"max_results": 1, "instance_id_list": "ins-1"})


def test_times_booleans_and_numbers_as_text_are_checked():
    with pytest.raises(InvalidRequest, match="start_time: '2026-01-01' is not a time written as"):
        DESCRIBE_DEALS_BY_COND.payload({"start_time": "2026-01-01", "end_time": "2026-01-01 00:00:00", "limit": 1})
    with pytest.raises(InvalidRequest, match="reverse: 'yes' is neither true nor false"):
        DESCRIBE_RENEW_INSTANCES.payload({"max_results": 1, "reverse": "yes"})
    with pytest.raises(InvalidRequest, match="renew_period: 3 is not text"):
        SET_RENEWAL.payload({"renew_period": 3})


def test_the_server_side_check_takes_types_as_they_stand():
    found = CREATE_INSTANCE.check({"ClientToken": 5, "Period": "1", "Parameter": {"a": 1}, "Colour": 1})

    assert {(m.kind.value, m.field) for m in found} >= {
        ("type", "ClientToken"),
        ("type", "Period"),
        ("type", "Parameter"),
        ("unknown", "Colour"),
        ("missing", "ZoneCode"),
    }


def test_a_payload_with_the_servers_defaults_has_each_field_that_the_server_assumes():
    given = {"ProductCode": "p", "Period": 3, "PeriodUnit": None, "ProjectId": "", "RenewFlag": "NOTIFY_AND_AUTO_RENEW"}

    assert CREATE_INSTANCE.with_defaults(given) == {
        "ProductCode": "p",
        "Quantity": 1,
        "ProjectId": 0,
        "Period": 3,
        "PeriodUnit": "m",
        "RenewFlag": RenewFlag.AUTO,
    }


@pytest.mark.parametrize("value", [*RenewFlag, *DealAction, *InstanceState], ids=str)
def test_a_named_value_is_its_text_wherever_it_stands(value):
    text = value.value

    assert type(value)(text) is value
    assert (value, f"{value}", str(value), json.dumps(value)) == (text, text, text, f'"{text}"')
    assert text in {value}


@pytest.mark.parametrize("flag", [RenewFlag.AUTO, "NOTIFY_AND_AUTO_RENEW"])
def test_a_renew_flag_and_its_text_send_the_same_bytes(flag):
    wire = SET_RENEWAL.payload({"product_code": "p", "region_code": "r", "instance_id": "i", "renew_flag": flag})

    assert type(wire["RenewFlag"]) is str
    assert wire["RenewFlag"] == "NOTIFY_AND_AUTO_RENEW"
