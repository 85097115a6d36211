"""The metadata service of the sandbox: the name of the machine's role, and its keys."""

from __future__ import annotations

import pytest
import requests
from tencentcloud.common import credential

from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.roles import Role
from tests.support.keys import OTHER_BUYER, SECURITY_CREDENTIALS, billing, code, metadata, parts, sts


@pytest.mark.parametrize("name", ["nobody", "BUYER", "buyer/", "other-buyer", "%20buyer"])
def test_another_role_is_a_page_of_html_and_404(sandbox, name):
    answer = metadata(sandbox, name)

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html")
    assert answer.text.startswith("<html>")
    assert (sandbox.keys.issued, sandbox.journal[-1].outcome) == ([], "404")


def test_a_machine_without_a_role_has_none_to_list(start_sandbox):
    sandbox = start_sandbox(machine_role="")

    assert [metadata(sandbox, name).status_code for name in ("", "buyer")] == [404, 404]


@pytest.mark.parametrize("roles", [(), (Role("reader"), Role("buyer"))], ids=["no role", "two roles"])
def test_the_role_of_the_machine_is_the_first_one_if_none_is_named(start_sandbox, roles):
    answer = metadata(start_sandbox(roles=roles))

    assert (answer.status_code, answer.text) == (200, "reader") if roles else answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "attacker.example"}, id="a name that is not this machine"),
        pytest.param({"Host": "metadata.tencentyun.com"}, id="the real name"),
        pytest.param({"Origin": "http://attacker.example"}, id="the page of another site"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another site"),
    ],
)
@pytest.mark.parametrize("name", ["", "buyer"])
def test_a_browser_gets_no_key_for_the_page_of_another_site(sandbox, headers, name):
    answer = metadata(sandbox, name, headers=headers)

    assert answer.status_code in (421, 403)
    assert "buyer" not in answer.text
    assert (sandbox.keys.issued, sandbox.requests) == ([], {})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_only_reads(sandbox, method):
    answer = requests.request(method, f"{sandbox.url}{SECURITY_CREDENTIALS}buyer", timeout=60)

    assert (answer.status_code, sandbox.keys.issued) == (405, [])


FAULTS = [
    ({"fault": "http", "status": 404}, 404, "text/html"),
    ({"fault": "http", "status": 500}, 500, "text/html"),
    ({"fault": "html"}, 200, "text/html"),
    ({"fault": "charset"}, 200, "application/json; charset=utf-8"),
    ({"fault": "answer", "response": {"Code": "InternalError"}}, 200, "application/json"),
    ({"fault": "error", "code": "InternalError"}, 200, "application/json"),
]


@pytest.mark.parametrize(("fault", "status", "kind"), FAULTS, ids=str)
def test_every_fault_of_an_answer_strikes_it(sandbox, fault, status, kind):
    sandbox.faults.add({**fault, "action": "metadata"})

    struck = metadata(sandbox, "buyer")
    after = metadata(sandbox, "buyer")

    assert (struck.status_code, struck.headers["Content-Type"]) == (status, kind)
    assert fault["fault"] == "charset" or "Success" not in struck.text or struck.json()["Code"] != "Success"
    assert after.json()["Code"] == "Success"
    assert sandbox.journal[0].faults == [fault["fault"]]


@pytest.mark.parametrize("fault", ["drop", "reset", "cut"])
def test_every_fault_of_the_connection_strikes_it(sandbox, fault):
    sandbox.faults.add({"fault": fault, "action": "metadata"})

    with pytest.raises(requests.RequestException):
        metadata(sandbox, "buyer")

    assert metadata(sandbox, "buyer").json()["Code"] == "Success"


def test_it_lists_the_role_and_gives_its_key(start_sandbox):
    sandbox = start_sandbox(key_seconds=600)
    listed = metadata(sandbox)
    before = sandbox.account.clock.now()
    answer = metadata(sandbox, listed.text).json()

    assert (listed.text, listed.headers["Content-Type"]) == ("buyer", "text/plain")
    assert set(answer) == {"Code", "TmpSecretId", "TmpSecretKey", "Token", "ExpiredTime", "Expiration"}
    assert 599 <= answer["ExpiredTime"] - before + 1 <= 602
    assert billing(sandbox, "DescribeAccountBalance", key=parts(answer))["Uin"] == 100000000001
    assert [entry.action for entry in sandbox.journal] == ["metadata", "metadata", "DescribeAccountBalance"]
    assert sandbox.requests["metadata"] == 2


def test_the_role_of_the_machine_can_become_that_of_the_other_account(sandbox):
    first = parts(metadata(sandbox, metadata(sandbox).text).json())

    sandbox.keys.machine_role = "other-buyer"
    second = parts(metadata(sandbox, metadata(sandbox).text).json())

    assert metadata(sandbox, "buyer").status_code == 404
    assert sts(sandbox, "GetCallerIdentity", key=second)["AccountId"] == "100000000002"
    assert billing(sandbox, "DescribeAccountBalance", key=first)["Uin"] == 100000000001, "the key of before lives on"


def test_the_control_interface_changes_the_role_of_the_machine(sandbox):
    def change(**wanted):
        return requests.post(f"{sandbox.url}/_sandbox/keys", json=wanted, timeout=60)

    wrong = [change(machine_role="nobody"), change(machine_role=1), change(), change(expire=1), change(expire=False)]
    assert [answer.status_code for answer in wrong] == [400] * len(wrong)
    assert metadata(sandbox).text == "buyer"
    assert change(machine_role=OTHER_BUYER).json()["machine_role"] == "other-buyer"
    assert metadata(sandbox).text == "other-buyer"
    assert change(machine_role="").json()["machine_role"] == ""


def test_a_role_that_does_not_exist_is_no_role_of_a_machine():
    with pytest.raises(WrongControl, match=r"machine_role must be empty or one of .*buyer"):
        Options(machine_role="nobody")


def test_the_official_library_gets_the_key_of_the_machine_here(sandbox, monkeypatch):
    monkeypatch.setattr(credential.CVMRoleCredential, "_role_endpoint", f"{sandbox.url}{SECURITY_CREDENTIALS}")

    key = credential.CVMRoleCredential().get_credential_info()

    (issued,) = sandbox.keys.issued
    assert key == (issued.secret_id, issued.secret_key, issued.token)
    assert code(billing(sandbox, "DescribeAccountBalance", key=key)) is None
