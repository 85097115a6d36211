"""Three verdicts over an order: it matches, it is another's, or nobody can tell."""

from __future__ import annotations

import random

import pytest

from airflow_provider_tcbilling.purchasing import match
from airflow_provider_tcbilling.purchasing.match import Match

ORDER = {
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "ZoneCode": "ap-guangzhou-6",
    "ProjectId": 0,
    "TimeSpan": 1.0,
    "TimeUnit": "m",
    "Action": "purchase",
    "ResourceId": ["ins-1"],
}
COMPARED = (
    match.product("p_cloudfirewall"),
    match.sub_product("sp_cloudfirewall_svv1"),
    match.zone("ap-guangzhou-6"),
    match.project(0),
    match.months(1),
    match.action("purchase"),
    match.instance("ins-1"),
)
AS_GOOD = {
    "ProductCode": ["P_CloudFirewall", " p_cloudfirewall\n"],
    "SubProductCode": ["SP_CLOUDFIREWALL_SVV1"],
    "ZoneCode": ["AP-Guangzhou-6", "\tap-guangzhou-6"],
    "ProjectId": ["0", 0.0, " 0 "],
    "TimeSpan": ["1", 1, "1.0"],
    "TimeUnit": ["M", " m "],
    "Action": ["Purchase", "PURCHASE "],
    "ResourceId": [["ins-2", "ins-1"], [" ins-1 "]],
}
OF_ANOTHER = {
    "ProductCode": ["p_cvm", "P_CVM"],
    "SubProductCode": ["sp_cloudfirewall_svv2"],
    "ZoneCode": ["ap-guangzhou-7", "na-siliconvalley-1", "NA-Siliconvalley-1 "],
    "ProjectId": [1019, "1019"],
    "TimeSpan": [2, "3", 12.0],
    "TimeUnit": ["y"],
    "Action": ["renew", "REFUND", "upgrade"],
    "ResourceId": [["ins-2"]],
}
ODD = [
    None,
    "",
    " ",
    [],
    {},
    [None],
    "?",
    "Something Else",
    True,
    float("nan"),
    float("inf"),
    -1,
    "-1",
    1e300,
    "1e3",
    object,
]
UNCLEAR = {
    "ZoneCode": [100006, "100006", "Guangzhou Zone 6", "ap-guangzhou", "全可用区"],
    "ProductCode": ["cloudfirewall", "Cloud Firewall", 7],
    "SubProductCode": ["svv1", 7],
    "ProjectId": ["Default Project", 0.5],
    "TimeSpan": ["one", 0, 1.25, "0.999"],
    "TimeUnit": ["month", "d", "p"],
    "Action": ["buy", "newPurchase", "购买", 1],
    "ResourceId": ["ins-1", [7], [""]],
}
DECIDES_ALONE = ("ProductCode", "Action", "ResourceId")


def verdict(**changes):
    shown = {**ORDER, **changes}
    return match.match({name: value for name, value in shown.items() if value is not object}, COMPARED)


def values(table):
    return [(field, value) for field, them in table.items() for value in them]


def test_an_order_as_it_was_sent_matches():
    assert verdict() == (Match.MATCHES, ())


@pytest.mark.parametrize(("field", "value"), values(AS_GOOD))
def test_another_way_to_write_the_same_matches(field, value):
    assert verdict(**{field: value}) == (Match.MATCHES, ())


@pytest.mark.parametrize(("field", "value"), values(OF_ANOTHER))
def test_one_understood_difference_makes_it_another_s(field, value):
    assert verdict(**{field: value}) == (Match.OF_ANOTHER, ())


@pytest.mark.parametrize(
    ("field", "value"), [*[(field, value) for field in ORDER for value in ODD], *values(UNCLEAR)], ids=repr
)
def test_what_is_not_understood_cannot_be_told_and_is_named(field, value):
    found, unclear = verdict(**{field: value})

    assert found is Match.CANNOT_TELL
    assert [field] == [name for names in unclear for name in names.split("/") if name == field]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_is_combined_an_order_is_another_s_only_if_it_is_understood(seed):
    chance = random.Random(seed)
    kinds = {field: chance.choice(["as sent", "as good", "another's", "unclear"]) for field in ORDER}
    tables = {"as good": AS_GOOD, "another's": OF_ANOTHER, "unclear": {field: ODD for field in ORDER}}
    changes = {field: chance.choice(tables[kind][field]) for field, kind in kinds.items() if kind != "as sent"}
    is_length_unclear = "unclear" in (kinds["TimeSpan"], kinds["TimeUnit"])

    found, _ = verdict(**changes)

    if any(kinds[field] == "another's" for field in DECIDES_ALONE):
        assert found is Match.OF_ANOTHER
    elif "unclear" in kinds.values():
        assert found is Match.CANNOT_TELL
    elif (kinds["TimeSpan"], kinds["TimeUnit"]) == ("another's", "another's") or "another's" in kinds.values():
        assert found is Match.OF_ANOTHER
    else:
        assert found is Match.MATCHES
    assert not (is_length_unclear and found is Match.MATCHES)
