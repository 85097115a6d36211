"""The two accounts of the sandbox, their roles on the command line, and the profile file with their keys."""

from __future__ import annotations

import configparser
import json
import os
import random
import stat

import pytest
import requests
from tencentcloud.common import credential

from airflow_provider_tcbilling.sandbox.__main__ import greeting, main
from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.profile_file import FIRST_LINE, write_profile
from airflow_provider_tcbilling.sandbox.roles import OTHER_ACCOUNT, Role
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.sandbox.test_server import WIRE_ORDER
from tests.support.keys import BUYER, OTHER_BUYER, OTHER_KEY, assumed, billing, code, metadata, parts, sts


def control(sandbox, method, path, body=None):
    return requests.request(method, f"{sandbox.url}/_sandbox/{path}", json=body, timeout=60)


def test_the_key_of_one_account_neither_spends_nor_shows_what_the_other_has(sandbox):
    first, other = sandbox.accounts.values()
    start = sandbox.options.balance_cents

    order = billing(sandbox, "CreateInstance", WIRE_ORDER, key=OTHER_KEY)

    query = {"StartTime": "2020-01-01 00:00:00", "EndTime": "2099-01-01 00:00:00", "Limit": 20}
    assert billing(sandbox, "DescribeDealsByCond", query)["TotalCount"] == 0
    assert billing(sandbox, "DescribeDealsByCond", query, key=OTHER_KEY)["TotalCount"] == 1
    assert (first.balance_cents, other.balance_cents) == (start, start - PRICE)
    assert (first.orders(), [one.order_id for one in other.orders()]) == ([], [order["OrderId"]])
    assert (first.instances(), len(other.instances())) == ([], 1)
    assert sandbox.account is first


def test_one_token_buys_once_in_each_account(sandbox):
    keys = [(SECRET_ID, SECRET_KEY, ""), OTHER_KEY, assumed(sandbox), assumed(sandbox, OTHER_BUYER)]

    numbers = [billing(sandbox, "CreateInstance", WIRE_ORDER, key=key)["OrderId"] for key in keys]

    assert numbers[0] == numbers[2] != numbers[1] == numbers[3]
    assert [len(account.orders()) for account in sandbox.accounts.values()] == [1, 1]


def test_the_journal_says_which_identity_sent_a_request(sandbox):
    for key in ((SECRET_ID, SECRET_KEY, ""), OTHER_KEY, assumed(sandbox), assumed(sandbox, OTHER_BUYER)):
        billing(sandbox, "DescribeAccountBalance", key=key)
    billing(sandbox, "DescribeAccountBalance", key=(SECRET_ID, "wrong", ""))

    entries = control(sandbox, "GET", "journal").json()["entries"]
    sent = [entry["principal"] for entry in entries if entry["action"] == "DescribeAccountBalance"]
    first, other = sandbox.accounts
    assert sent == [f"{first}:key", f"{other}:key", f"{first}:role/buyer", f"{other}:role/other-buyer", ""]


def test_both_accounts_have_one_clock(sandbox):
    instance = sandbox.accounts[OTHER_ACCOUNT].add_instance(expires_at=sandbox.account.clock.now() + 60)

    control(sandbox, "POST", "clock", {"advance": 120})

    assert instance.status(sandbox.accounts[OTHER_ACCOUNT].clock.now()) == "ISOLATED"


def test_control_calls_reach_the_second_account_by_its_number(sandbox):
    other = sandbox.accounts[OTHER_ACCOUNT]
    control(sandbox, "POST", f"money?account={OTHER_ACCOUNT}", {"balance_cents": 5})
    control(sandbox, "POST", f"orders?account={OTHER_ACCOUNT}", {"cents": 2})
    control(sandbox, "POST", f"instances?account={OTHER_ACCOUNT}", {"count": 3})
    control(sandbox, "POST", f"prices?account={OTHER_ACCOUNT}", {"cents": 700})

    assert control(sandbox, "GET", f"money?account={OTHER_ACCOUNT}").json()["balance_cents"] == other.balance_cents == 3
    assert len(control(sandbox, "GET", f"orders?account={OTHER_ACCOUNT}").json()["orders"]) == 4
    assert (sandbox.account.orders(), sandbox.account.prices.listed()) == ([], [])
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


@pytest.mark.parametrize("account", ["", "1", "100000000003", "buyer"])
@pytest.mark.parametrize("path", ["orders", "prices", "money", "instances"])
def test_an_account_that_does_not_exist_is_refused_in_words(sandbox, path, account):
    answer = control(sandbox, "GET", f"{path}?account={account}")

    assert answer.status_code == 400
    assert answer.json()["error"] == "account must be one of 100000000001, 100000000002"


def test_a_reset_empties_both_accounts(sandbox):
    billing(sandbox, "CreateInstance", WIRE_ORDER, key=OTHER_KEY)

    control(sandbox, "POST", "reset")

    assert [account.orders() for account in sandbox.accounts.values()] == [[], []]


def test_the_second_account_changes_no_number_of_the_first(start_sandbox):
    numbers = []
    for _ in range(2):
        sandbox = start_sandbox(seed=11)
        if numbers:
            billing(sandbox, "CreateInstance", WIRE_ORDER, key=OTHER_KEY)
        numbers.append(billing(sandbox, "CreateInstance", WIRE_ORDER)["OrderId"])
        sandbox.reset()
        numbers.append(billing(sandbox, "CreateInstance", WIRE_ORDER)["OrderId"])

    assert numbers[:2] == numbers[2:]


def test_the_first_account_draws_its_numbers_as_if_it_were_alone(start_sandbox):
    sandbox, alone = start_sandbox(seed=11), random.Random(11)

    for _ in range(2):
        account = Account(sandbox.options, alone)
        assert [sandbox.account.ids.order_number(0, 0), sandbox.account.ids.instance_id()] == [
            account.ids.order_number(0, 0),
            account.ids.instance_id(),
        ]
        sandbox.reset()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "a JSON object with a name"),
        ("{", "a role must be a JSON object"),
        ("[]", "a JSON object with a name"),
        ('{"account": 100000000001}', "a JSON object with a name"),
        ('{"name": ""}', "name of a role must be"),
        ('{"name": "a b"}', "name of a role must be"),
        ('{"name": "buyer", "account": 1}', "account of a role must be 100000000001 or 100000000002"),
        ('{"name": "buyer", "denied": ["Buy"]}', "denied of a role must be a list of CreateInstance"),
        ('{"name": "buyer", "denied": "CreateInstance"}', "denied of a role must be a list"),
        ('{"name": "buyer", "trusts": [1]}', "trusts of a role must be a list of 100000000001"),
        ('{"name": "buyer", "web_identity": 1}', "web_identity of a role must be true or false"),
        ('{"name": "buyer", "colour": 1}', "colour: not known here"),
    ],
)
def test_a_wrong_role_is_said_in_words_and_stops_the_start(text, mistake, capsys):
    with pytest.raises(WrongControl, match=mistake):
        Role.parse(text)
    with pytest.raises(SystemExit):
        main(["--role", text])

    assert "error: argument --role: " in capsys.readouterr().err


def test_a_machine_whose_role_does_not_exist_stops_the_start(capsys):
    with pytest.raises(SystemExit):
        main(["--machine-role", "nobody"])

    assert "machine_role must be empty or one of" in capsys.readouterr().err


def test_of_two_roles_with_one_arn_the_last_one_counts(start_sandbox):
    sandbox = start_sandbox(roles=(*Options().roles, Role("buyer", denied=("CreateInstance",))))

    keys = [parts(metadata(sandbox, "buyer").json()), assumed(sandbox, BUYER), assumed(sandbox, OTHER_BUYER)]
    answers = [billing(sandbox, "CreateInstance", WIRE_ORDER, key=key) for key in keys]
    assert [code(answer) for answer in answers] == ["AuthFailure.UnauthorizedOperation"] * 2 + [None]


def test_a_machine_takes_a_role_of_either_account_by_its_arn(start_sandbox):
    roles = (Role("buyer"), Role("buyer", OTHER_ACCOUNT))
    accounts = []
    for name in (None, "buyer", *(role.arn for role in roles)):
        keys = start_sandbox(roles=roles, machine_role=name).keys
        accounts.append(keys.role_of_machine.account)

    assert accounts == [100000000001, 100000000001, 100000000001, OTHER_ACCOUNT]


def test_the_greeting_names_the_sources_after_the_connection():
    lines = greeting(Options(), "http://127.0.0.1:8765").splitlines()

    first = [line.split()[0] for line in lines]
    assert first == ["Tencent", "page", "connection", "connection", "STS", "metadata", "Stop"]
    assert BUYER in lines[4]
    assert OTHER_BUYER in lines[4]
    assert lines[5].endswith("http://127.0.0.1:8765, with keys of buyer")


def test_a_profile_file_of_a_user_is_never_overwritten(tmp_path, capsys):
    path = tmp_path / "credentials"
    path.write_text("[default]\nsecret_id = AKIDreal\n")

    assert main(["--write-profile", str(path)]) == 1

    assert "did not write it" in capsys.readouterr().err
    assert "AKIDreal" in path.read_text()


@pytest.mark.parametrize("name", ["", "missing/credentials", "."])
def test_a_profile_file_that_cannot_be_written_is_said_in_words(tmp_path, name, capsys):
    assert main(["--write-profile", str(tmp_path / name)]) == 1
    assert "Cannot write" in capsys.readouterr().err


def test_only_its_owner_reads_a_profile_file_even_if_it_was_there_before(tmp_path):
    path = tmp_path / "credentials"
    path.write_text(f"{FIRST_LINE}\n[default]\n")
    path.chmod(0o644)

    for options in (Options(), Options(secret_id="AKIDanother")):
        assert write_profile(str(path), options) == ""

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "AKIDanother" in path.read_text()


@pytest.mark.parametrize("token", ["", "session"])
def test_a_profile_file_has_the_keys_of_both_accounts(tmp_path, start_sandbox, token, monkeypatch):
    sandbox = start_sandbox(session_token=token, secret_key="per%cent")
    folder = tmp_path / ".tencentcloud"
    folder.mkdir()
    write_profile(str(folder / "credentials"), sandbox.options)

    read = configparser.RawConfigParser()
    read.read(folder / "credentials")

    keys = [(one["secret_id"], one["secret_key"], one.get("token", "")) for one in (read["default"], read["other"])]
    assert [sts(sandbox, "GetCallerIdentity", key=key)["AccountId"] for key in keys] == ["100000000001", "100000000002"]
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    assert credential.ProfileCredential().get_credential().secret_key == "per%cent"


def test_the_state_hides_the_secrets_of_both_accounts(sandbox):
    rules = control(sandbox, "GET", "state").json()["rules"]

    assert (rules["secret_key"], rules["other_secret_key"]) == ("***", "***")
    assert rules["roles"] == [BUYER, OTHER_BUYER]
    assert OTHER_KEY[1] not in json.dumps(rules)
