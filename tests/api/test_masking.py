"""What is secret in a request is masked in its record, wherever it stands; product and zone never are."""

from __future__ import annotations

import base64
import json
import random
import re

import pytest

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.masking import payload_without_secrets, secrets_in, without_secrets
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from tests.conftest import ORDER, client_to

SECRET_NAMES = re.findall(
    r"\S+",
    """
password Password LoginPassword db_password DB-PASSWORD PASSWORD1 pwd rootpwd userPWD passwd pass dbpass UserPass2
passphrase secret SecretKey client-secret token sessionToken access_key AccessKey accessKeyId apiKey api_key API-KEY
APIKEY x-api-key sshKey SSH_KEY user_data userData UserData credentials Credential privateKey private-key PRIVATE_KEY
certificate CaCert pem tlsCrt keyPair keyMaterial authorization Authorization authorisation auth cookie Set-Cookie
licenceKey licenseKey LICENSE bearer psk preSharedKey pin otp encryptionKey signingKey signature connectionString
cloudInit customData tokenizer 密码
""",
)

HARMLESS_NAMES = re.findall(
    r"\S+",
    """
keyword passthrough monkey keyId KeyIds KeyPairId certificateId pid timeSpan timeUnit goodsNum productCode
subProductCode key keys name publicKey primaryKey compass bypass author spin passenger region zone InstanceName
licenseType licenseCount bandwidth engineVersion pinned authType cookieName SecurityGroupIds pageSize tagKey
description passRate
""",
)

VERSION_1 = re.compile("secret|password|passwd|passphrase|token|access_?key|private_?key|credential", re.IGNORECASE)


def masked_by_version_1(value):
    """Mask as records of version 1 were masked."""
    if isinstance(value, dict):
        return {k: "***" if VERSION_1.search(str(k)) else masked_by_version_1(v) for k, v in value.items()}
    return [masked_by_version_1(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["x", 4711, None, True, ["x"], {"a": {"b": "x"}}], ids=str)
def test_whatever_stands_under_the_name_of_a_secret_is_masked_whole(name, value):
    assert without_secrets({"LoginSettings": [{name: value}]}) == {"LoginSettings": [{name: "***"}]}


def test_a_name_in_wide_letters_is_read():
    assert without_secrets({"".join(chr(ord(c) + 0xFEE0) for c in "password"): "x"}).popitem()[1] == "***"


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_name_that_only_resembles_one_is_not_masked(name):
    assert without_secrets({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "harmless",
    [
        *("Edge firewall of the shop", "a keyword: x", "ap-guangzhou-6", "PASSWORD", "https://shop.example.com/a?b=c"),
        *("2026-12-01T00:00:00Z", "p_token_service", "9f86d081884c7d659a2feaa0c55ad015", "[1, 2]", '{"a": "b"}'),
        *("{half", ["a", "b"], [["team", "net"]], {"Key": "team", "Value": "net"}, 7, None, 1.5),
    ],
    ids=str,
)
def test_what_is_harmless_stays_as_it_is(harmless):
    assert without_secrets({"description": harmless}) == {"description": harmless}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([{"Name": "password", "Value": "hunter2"}], id="name and value"),
        pytest.param([{"Key": "apiKey", "Value": {"a": "hunter2"}}], id="key and object"),
        pytest.param([{"ParamName": "DB_PASSWORD", "ParamValue": "hunter2", "Region": "r"}], id="longer names"),
        pytest.param([["password", "hunter2"]], id="a pair"),
        pytest.param(["--password", "hunter2"], id="a command line"),
        pytest.param('{"login": {"password": "hunter2"}}', id="JSON text"),
        pytest.param(json.dumps(json.dumps({"pwd": "hunter2"})), id="JSON text in JSON text"),
        pytest.param('{"a": {"pwd": "hunter2"}, "a": 1}', id="JSON text with a name twice"),
        pytest.param('[{"Name": "password", "Value": "hunter2"}]', id="pairs in JSON text"),
        pytest.param(base64.b64encode(b"#!/bin/sh\npassword=hunter2\n").decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(b'{"pwd": "hunter2??>>"}').decode().rstrip("="), id="base64url"),
        pytest.param("mysql://root:hunter2@10.0.0.1/shop", id="a user in an address"),
        pytest.param("mysql://root:hun@ter2/hunter2@10.0.0.1", id="a user that is not encoded"),
        pytest.param("see root:hunter2@10.0.0.1", id="a user without a scheme"),
        pytest.param("https://hunter2@github.com/x.git", id="a token in an address"),
        pytest.param("https://shop.example.com/?access_token=hunter2&a=b", id="a token in a query"),
        pytest.param("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----", id="PEM"),
        pytest.param("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nhunter2", id="SSH2"),
        pytest.param("Authorization: Bearer hunter2", id="a header"),
        pytest.param("curl -H 'Bearer hunter2'", id="Bearer"),
        pytest.param("Cookie: a=hunter2", id="a cookie"),
        pytest.param("mysql --password hunter2", id="an option in text"),
        pytest.param("password: |\n  hunter2\n", id="YAML"),
        pytest.param("x " * 9000 + "hunter2", id="too long to be searched"),
    ],
)
def test_a_secret_is_found_by_what_it_is(value):
    masked = json.dumps(without_secrets({"config": value}))

    assert "hunter2" not in masked
    assert "***" in masked


def any_style(rng, words):
    """Write words as the name of a field, in one of the usual styles."""
    styles = ["_".join, "-".join, lambda w: w[0] + "".join(x.title() for x in w[1:]), lambda w: "_".join(w).upper()]
    return rng.choice(styles)(words)


SECRET_WORDS = [["password"], ["db", "pwd"], ["api", "key"], ["ssh", "key"], ["user", "data"], ["login", "pass"]]
SECRET_WORDS += [["private", "key"], ["session", "token"], ["client", "secret"], ["licence", "key"], ["credentials"]]


def planted(rng, secret, depth=0):
    """Return JSON data that holds a secret in one of the ways in which secrets are held."""
    name = any_style(rng, rng.choice(SECRET_WORDS))
    ways = [
        lambda: {name: secret},
        lambda: {name: [secret, {"x": secret}]},
        lambda: {rng.choice(["Name", "key", "FieldName"]): name, rng.choice(["Value", "defaultValue"]): secret},
        lambda: [name, secret],
        lambda: ["--" + name, secret, "--region", "r"],
        lambda: f"{name}{rng.choice(['=', ': ', ' = ', ' '])}{secret}",
        lambda: f"https://user:{secret}@host/{rng.random()}",
        lambda: f"-----BEGIN CERTIFICATE-----\n{secret}\n-----END CERTIFICATE-----",
        lambda: f"Authorization: Bearer {secret}",
    ]
    if depth < 4:
        deeper = planted(rng, secret, depth + 1)
        ways += [
            lambda: {"config": deeper, "n": 1},
            lambda: [1, deeper, None],
            lambda: json.dumps(deeper),
            lambda: " " + json.dumps({"a": deeper, "b": rng.random()}, indent=1),
            lambda: base64.b64encode(json.dumps(deeper).encode()).decode(),
        ]
    return rng.choice(ways)()


def harmless(rng, depth=0):
    """Return any JSON data."""
    leaves = ["", "a b", "密", "\ud800", "{", '{"a": NaN}', "[" * 3000, '"', 0, -1.5, 10**40, None, True, "a:b@c"]
    names = ["pid", "Name", "Value", "token", "key", "", "x-api-key", "Ä", "tokenKey", "userData"]
    if depth > 5 or rng.random() < 0.3:
        return rng.choice(leaves)
    if rng.random() < 0.4:
        return [harmless(rng, depth + 1) for _ in range(rng.randrange(4))]
    fields = {rng.choice(names): harmless(rng, depth + 1) for _ in range(rng.randrange(5))}
    fields = {**fields, "Name": rng.choice(["password", "team"])} if rng.random() < 0.3 else fields
    return json.dumps(fields) if rng.random() < 0.3 else fields


@pytest.mark.parametrize("seed", range(4))
def test_no_secret_stays_wherever_it_is_planted(seed):
    rng = random.Random(seed)
    for _ in range(1500):
        secret = f"S{rng.getrandbits(64):x}"
        data = planted(rng, secret)

        masked = without_secrets({"p": data})
        hidden = secrets_in(data)

        written = json.dumps(masked)
        coded = [base64.b64encode(b"-" * n + secret.encode()).decode()[4:-4] for n in range(3)]
        assert not any(text in written for text in [secret, *coded]), data
        assert secret in "".join(hidden) or any(text in "".join(hidden) for text in coded), data


@pytest.mark.parametrize("seed", range(4))
def test_masking_takes_any_data_and_changes_nothing_the_second_time(seed):
    rng = random.Random(seed)
    for _ in range(1500):
        data = rng.choice([harmless, lambda r: planted(r, "s3cret")])(rng)

        once = without_secrets(data)

        assert json.dumps(without_secrets(once)) == json.dumps(once)


@pytest.mark.parametrize("seed", range(4))
def test_what_version_1_masked_is_masked_now_to_the_same_result(seed):
    # Else an upgrade would take purchases that are under way for edited ones.
    rng = random.Random(seed)
    for _ in range(1500):
        data = {"p": harmless(rng), "q": planted(rng, "s3cret")}

        assert json.dumps(without_secrets(masked_by_version_1(data))) == json.dumps(without_secrets(data))


@pytest.mark.parametrize("nest", [lambda x: [x], lambda x: {"a": x}, lambda x: {"password": x}])
def test_depth_ends_in_a_mask_and_not_in_an_error(nest):
    deep = "x"
    for _ in range(900):
        deep = nest(deep)

    assert "***" in json.dumps(without_secrets(deep))
    secrets_in(deep)


@pytest.mark.parametrize("seed", range(2))
def test_a_payload_keeps_what_tells_which_order_may_be_the_purchase(sandbox, seed):
    rng = random.Random(seed)
    client = client_to(sandbox)
    for _ in range(300):
        inner = {"timeSpan": 1, "timeUnit": "m", "productCode": "p_cloudfirewall", "c": planted(rng, "s3cret")}
        order = {
            **ORDER,
            "product_code": "p_cloudfirewall",
            "zone_code": "token zone 6",
            "parameter": {**inner, "name": "password token"},
        }
        bought = NewInstance(client, order)

        shown = payload_without_secrets(bought.payload)

        assert {k: v for k, v in shown.items() if k != "Parameter"} == {
            k: v for k, v in bought.payload.items() if k != "Parameter"
        }
        assert bought.looks_like(shown)
        again = NewInstance(client, CREATE_INSTANCE.named(shown))
        assert again.payload == shown
        assert again.looks_like(bought.payload)
