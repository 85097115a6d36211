"""The vendor's SDK as an oracle: it signs as we do, buys from our sandbox, and gets every error it should."""

from __future__ import annotations

import json

import pytest
from tencentcloud.billing.v20180709 import billing_client, models
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from airflow_provider_tcbilling.api.signing import Tc3Auth
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY, client_to
from tests.sandbox.test_server import WIRE_ORDER
from tests.support.facts import PUBLISHED_CODES


def sdk(endpoint, token=None):
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=endpoint))
    return billing_client.BillingClient(credential.Credential(SECRET_ID, SECRET_KEY, token), "", profile)


def vendor(sandbox, token=None):
    return sdk(sandbox.url.partition("//")[2], token)


def purchase(**changes):
    request = models.CreateInstanceRequest()
    request.from_json_string(json.dumps({**WIRE_ORDER, **changes}))
    return request


@pytest.mark.parametrize("token", [None, "session"])
@pytest.mark.parametrize("timestamp", [1551113065, 1767225599, 1767225600, 1798761599])
def test_our_signature_is_the_sdks(monkeypatch, timestamp, token):
    monkeypatch.setattr("time.time", lambda: timestamp)
    theirs = RequestInternal("billing.intl.tencentcloudapi.com", "POST", "/")
    client = sdk("billing.intl.tencentcloudapi.com", token)
    parameters = purchase()._serialize()
    theirs.header["Host"] = "billing.intl.tencentcloudapi.com"
    client._build_req_inter("CreateInstance", parameters, theirs)

    auth = Tc3Auth(SECRET_ID, SECRET_KEY, "billing", token=token or "", clock=lambda: timestamp)
    body = theirs.data if isinstance(theirs.data, bytes) else theirs.data.encode()
    ours = auth.headers("billing.intl.tencentcloudapi.com", theirs.header["Content-Type"], body)

    assert {name: str(theirs.header[name]) for name in ours} == ours


def test_the_sdk_buys_from_the_sandbox_and_reads_everything(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    client = vendor(sandbox)

    order = client.CreateInstance(purchase())
    request = models.DescribeDealsByCondRequest()
    request.StartTime, request.EndTime, request.Limit = "2020-01-01 00:00:00", "2099-01-01 00:00:00", 20
    request.OrderId, request.StatusSet = order.OrderId, [2, 3, 4]
    client.DescribeDealsByCond(request)
    (deal,) = client.DescribeDealsByCond(request).Deals
    balance = client.DescribeAccountBalance(models.DescribeAccountBalanceRequest())

    assert order.InstanceIdList == []
    assert (deal.OrderId, deal.Status, deal.ResourceId) == (order.OrderId, 4, sandbox.account.orders()[0].instance_ids)
    assert balance.Balance == sandbox.options.balance_cents - PRICE
    assert client_to(sandbox).describe_deals(order_id=order.OrderId)[0].paid_cents == deal.RealTotalCost == PRICE


def test_the_sdk_and_we_get_the_same_order_for_the_same_token(sandbox):
    theirs = vendor(sandbox).CreateInstance(purchase())
    ours = client_to(sandbox).create_instance(
        client_token="t",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147},
    )

    assert ours.order_id == theirs.OrderId


@pytest.mark.parametrize("code", PUBLISHED_CODES)
def test_the_sdk_gets_every_error_code(sandbox, code):
    sandbox.faults.add({"fault": "error", "code": code, "message": "said so", "when": "before"})

    with pytest.raises(TencentCloudSDKException) as caught:
        vendor(sandbox).CreateInstance(purchase())

    assert (caught.value.get_code(), caught.value.get_message()) == (code, "said so")
    assert caught.value.get_request_id() == sandbox.journal[-1].request_id


@pytest.mark.parametrize(
    ("changes", "rules", "code"),
    [
        ({"Period": 99}, {}, "InvalidParameterValue"),
        ({"Parameter": "no"}, {}, "InvalidParameter"),
        ({"ZoneCode": None}, {}, "MissingParameter"),
        ({}, {"balance_cents": 1}, "FailedOperation.BalanceInsufficient"),
        ({}, {"secret_key": "another"}, "AuthFailure.SignatureFailure"),
        ({}, {"secret_id": "another"}, "AuthFailure.SecretIdNotFound"),
        ({}, {"session_token": "another"}, "AuthFailure.TokenFailure"),
    ],
)
def test_the_sdk_gets_the_errors_it_should(start_sandbox, changes, rules, code):
    with pytest.raises(TencentCloudSDKException) as caught:
        vendor(start_sandbox(**rules)).CreateInstance(purchase(**changes))

    assert caught.value.get_code() == code


def test_the_sdk_takes_an_error_with_a_charset_for_a_success_which_is_why_we_do_not_use_it(sandbox):
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.NumLimitError", "when": "before"})
    sandbox.faults.add({"fault": "charset", "when": "before"})

    assert vendor(sandbox).CreateInstance(purchase()).OrderId is None
