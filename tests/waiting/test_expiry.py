"""What expires is found on whatever page it stands, soonest first, in few requests and little memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown
from airflow_provider_tcbilling.api.instance_list import renewable
from airflow_provider_tcbilling.api.server_time import SERVER_ZONES
from airflow_provider_tcbilling.waiting.expiry import Wanted, expiring, moved, query, soon
from tests.conftest import SECRET_ID, SECRET_KEY, client_to
from tests.support.account import AUTO, DAY, MANUAL, control

MOST_REQUESTS, MOST_MEGABYTES = 60, 200


def subscribed(sandbox, days, **more):
    expires_at = None if days is None else time.time() + days * DAY
    return sandbox.account.add_instance(expires_at=expires_at, **more).instance_id


def found(sandbox, days=14.0, **filters):
    within = expiring(client_to(sandbox), time.time(), days * DAY, Wanted.read(filters))
    return [instance.instance_id for instance in within]


def test_what_expires_comes_soonest_first_with_the_lapsed_and_without_what_never_expires(sandbox):
    later, sooner, lapsed = subscribed(sandbox, 10), subscribed(sandbox, 1), subscribed(sandbox, -1)
    subscribed(sandbox, 20)
    subscribed(sandbox, None)

    assert found(sandbox) == [lapsed, sooner, later]


@pytest.mark.parametrize("zone", SERVER_ZONES)
def test_nothing_that_expires_in_time_is_missed_whichever_zone_the_server_writes(start_sandbox, zone):
    sandbox = start_sandbox(zone=zone)
    inside = [subscribed(sandbox, days) for days in (0.01, 13.99)]
    subscribed(sandbox, 14.4)

    assert found(sandbox) == inside


@pytest.mark.parametrize(
    "filters",
    [
        {"product_codes": "p_x"},
        {"product_codes": ["p_x", "p_y"]},
        {"sub_product_codes": ("sp_x",)},
        {"region_codes": "ap-tokyo"},
        {"renew_flags": AUTO},
        {"name": "edge-*"},
        {"name": "edge-?1", "renew_flags": [AUTO], "product_codes": "p_x"},
    ],
)
def test_the_filters_are_all_kept_at_once(sandbox, filters):
    subscribed(sandbox, 3, name="Edge-01")
    wanted = subscribed(
        sandbox,
        5,
        name="edge-01",
        product_code="p_x",
        sub_product_code="sp_x",
        region_code="ap-tokyo",
        renew_flag=AUTO,
    )

    assert found(sandbox, **filters) == [wanted]


@pytest.mark.parametrize(
    ("filters", "mistake"),
    [
        ({"product": "p_x"}, "product: there is no such filter"),
        ({"product_codes": [""]}, "product_codes: "),
        ({"region_codes": 7}, "region_codes: 7 is not a code such as ap-guangzhou, or a list of codes"),
        ({"region_codes": ["a", None]}, "region_codes: "),
        ({"name": ["a", "b"]}, "name: "),
    ],
)
def test_a_wrong_filter_is_told(filters, mistake):
    with pytest.raises(InvalidRequest, match=mistake):
        Wanted.read(filters)


def test_a_flag_that_the_api_does_not_know_is_told_before_anything_is_sent(sandbox):
    with pytest.raises(InvalidRequest, match="SURPRISE"):
        found(sandbox, renew_flags="SURPRISE")

    assert sandbox.requests == {}


def test_an_unknown_flag_of_the_server_is_listed_as_it_is(sandbox):
    subscribed(sandbox, 3, renew_flag="SURPRISE")

    (instance,) = expiring(client_to(sandbox), time.time(), 14 * DAY)

    assert (instance.renew_flag, instance.renews_by_itself) == ("SURPRISE", None)


def test_one_that_is_renewed_while_the_list_is_read_comes_once(sandbox):
    control(sandbox, "POST", "instances", {"count": 30})
    client = client_to(sandbox)
    listed = renewable(client, max_results=10)
    first = next(listed)
    first_one = next(one for one in sandbox.account.instances() if one.instance_id == first.instance_id)
    sandbox.account.owned.extend(first_one, time.time() + 900 * DAY, time.time())

    ids = [first.instance_id, *(one.instance_id for one in listed)]

    assert len(ids) == len(set(ids)) == 30


def test_a_list_that_does_not_end_is_an_error(sandbox, monkeypatch):
    client = client_to(sandbox)
    monkeypatch.setattr(client, "describe_renew_instances", lambda **filters: ([], "again"))

    with pytest.raises(OutcomeUnknown, match="does not end"):
        list(renewable(client))


LISTING = """
import json, sys, time
from pathlib import Path
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.waiting.expiry import Wanted, expiring
url, secret_id, secret_key = sys.argv[1:]
found = expiring(BillingClient(secret_id, secret_key, endpoint=url), time.time(), 10_000 * 86_400, Wanted(name="web*"))
due = [one.renewal_arguments() for one in found if one.renews_by_itself is False]
# What getrusage tells of a new process counts what its parent used.
(most,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps([len(found), len(due), int(most) / 1024]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the most memory that was used")
def test_five_thousand_instances_are_decided_in_sixty_requests_and_two_hundred_megabytes(sandbox):
    control(sandbox, "POST", "instances", {"count": 4000, "name": "web", "renew_flag": MANUAL})
    control(sandbox, "POST", "instances", {"count": 1000, "name": "web", "renew_flag": AUTO})

    command = [sys.executable, "-c", LISTING, sandbox.url, SECRET_ID, SECRET_KEY]
    listed, due, megabytes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert (listed, due) == (5000, 4000)
    assert sum(sandbox.requests.values()) < MOST_REQUESTS
    assert megabytes < MOST_MEGABYTES


# What a sensor asks


def test_the_first_question_is_answered_when_something_expires_soon(sandbox):
    question = soon(14 * DAY, Wanted())
    assert query(client_to(sandbox), question, time.time()) == []
    instance = subscribed(sandbox, 3)

    assert [one.instance_id for one in query(client_to(sandbox), question, time.time())] == [instance]


def test_the_second_question_is_answered_when_somebody_has_renewed_the_instance(sandbox):
    instance = subscribed(sandbox, 3)
    (listed,) = expiring(client_to(sandbox), time.time(), 14 * DAY)
    question = moved(instance, listed.expire_time)
    assert query(client_to(sandbox), question, time.time()) == []
    subscription = sandbox.account.instances()[0]
    sandbox.account.owned.extend(subscription, subscription.expires_at + 1, time.time())

    assert [one.instance_id for one in query(client_to(sandbox), question, time.time())] == [instance]


def test_a_passing_failure_to_read_is_no_answer_and_no_error(sandbox):
    subscribed(sandbox, 3)
    sandbox.faults.add({"fault": "http", "times": None})

    assert query(client_to(sandbox), soon(14 * DAY, Wanted()), time.time()) == []


def test_what_would_be_waited_for_in_vain_is_told(sandbox):
    eternal = subscribed(sandbox, None)
    for instance, mistake in [("ins-nowhere", "there is no such instance"), (eternal, "its expiry is 'not told'")]:
        with pytest.raises(InvalidRequest, match=mistake):
            query(client_to(sandbox), moved(instance, "2027-01-01 00:00:00"), time.time())
    with pytest.raises(InvalidRequest, match="expires_after: 'soon' is not a time"):
        moved(eternal, "soon")
