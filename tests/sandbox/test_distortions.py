"""The distortions of the order book distort it."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS
from tests.conftest import ORDER, client_to
from tests.sandbox.test_server import post


def test_every_distortion_of_the_order_book_changes_what_is_listed(start_sandbox):
    sandbox = start_sandbox()
    for token in "abc":
        client_to(sandbox).create_instance(client_token=token, **ORDER)
    window = {"StartTime": "2020-01-01 00:00:00", "EndTime": "2099-01-01 00:00:00", "Limit": 200, "Offset": 1}

    def deals(**query):
        answer = post(sandbox, {**window, **query}, action="DescribeDealsByCond")
        return {name: value for name, value in answer.items() if name != "RequestId"}

    unchanged = []
    for name in DISTORTIONS:
        fields = {"text": "ProjectId", "absurd-time": "CreateTime", "long-ago": "CreateTime", "iso-time": "CreateTime"}
        sandbox.faults.add({"fault": "book", "distortion": name, "field": fields.get(name, "ZoneCode"), "times": 2})
        changed = [deals(Offset=page) for page in (0, 1)]
        sandbox.faults.clear()
        if changed == [deals(Offset=page) for page in (0, 1)]:
            unchanged.append(name)

    assert unchanged == ["capped", "cut-pages"], "so few orders match on a page"


@pytest.mark.parametrize("wanted", [{"distortion": "upside-down"}, {"field": "Colour"}, {"distortion": 7}])
def test_a_distortion_that_there_is_not_is_refused(sandbox, wanted):
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", json={"fault": "book", **wanted}, timeout=5)

    assert answer.status_code == 400
    assert next(iter(wanted)) in answer.json()["error"]
