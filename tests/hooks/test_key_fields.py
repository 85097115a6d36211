"""The fields of the connection about its key: no slip and no odd value takes another key than the one that is meant."""

from __future__ import annotations

import json
import pickle
import random
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.key_sources import CvmRole, Environment, Profile
from airflow_provider_tcbilling.api.sts import AssumedRole, TkeOidc
from airflow_provider_tcbilling.get_provider_info import get_provider_info
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.hooks.key_fields import KEY_FIELDS, SOURCES, session_name_of
from airflow_provider_tcbilling.hooks.session import Session
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from tests.conftest import SECRET_ID, SECRET_KEY

pytestmark = pytest.mark.airflow

ROLE = "qcs::cam::uin/100000000001:roleName/buyer"
TOKEN = "session-token-4711"
EXTERNAL_ID = "external-4711"
INTL_STS, INTL_METADATA = "https://sts.intl.tencentcloudapi.com", "http://metadata.tencentyun.com"
SANDBOX = "http://127.0.0.1:8765"


def read(allowed_hosts=(), *, conn_id="c", host=None, login=SECRET_ID, password=SECRET_KEY, **extra):
    fields = {"conn_id": conn_id, "host": host, "port": None, "login": login, "password": password}
    return Settings.read(SimpleNamespace(**fields, extra_dejson=extra), allowed_hosts)


def of_source(source, **more):
    key = {"login": SECRET_ID, "password": SECRET_KEY} if source == "connection" else {"login": None, "password": ""}
    return read(**{"credential_source": source, **key, **more})


def mistakes_of(reading=read, *arguments, **more):
    with pytest.raises(InvalidRequest) as caught:
        reading(*arguments, **more)
    assert not [text for text in (SECRET_KEY, TOKEN, EXTERNAL_ID) if text in str(caught.value)]
    return caught.value.mistakes


# Keys and sources that contradict each other


@pytest.mark.parametrize("source", SOURCES[1:])
@pytest.mark.parametrize(
    ("key", "named"),
    [
        ({"login": SECRET_ID, "password": SECRET_KEY}, "login and password are given"),
        ({"login": SECRET_ID}, "login is given"),
        ({"password": SECRET_KEY}, "password is given"),
        ({"password": " "}, "password is given"),
    ],
)
def test_a_key_beside_another_source_is_refused_even_a_half_one(source, key, named):
    assert mistakes_of(of_source, source, **key) == (f"credential_source is {source}, and {named}: leave one out",)


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("extra", [{}, {"credential_source": ""}, {"credential_source": "connection"}])
def test_without_another_source_both_parts_of_the_key_are_needed(nothing, extra):
    missing = ("login (SecretId) is missing", "password (SecretKey) is missing")

    assert mistakes_of(login=nothing, password=nothing, **extra) == missing


OF_SOURCES = {
    "token": (TOKEN, {"connection"}),
    "cam_role_name": ("buyer", {"cvm_role"}),
    "profile": ("buying", {"profile"}),
    "credentials_file": ("/etc/keys", {"profile"}),
    "assume_role_session_name": ("night", {"tke_oidc"}),
    "assume_role_duration": (900, {"tke_oidc"}),
    "assume_role_external_id": (EXTERNAL_ID, set()),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("field", OF_SOURCES)
def test_a_field_of_another_source_is_refused_and_not_forgotten(field, source):
    value, sources = OF_SOURCES[field]

    if source in sources:
        assert getattr(of_source(source, **{field: value}), field) == value
        return
    (mistake,) = mistakes_of(of_source, source, **{field: value})
    assert mistake.startswith(f"extra {field} ")


@pytest.mark.parametrize("source", SOURCES)
def test_with_a_role_every_source_takes_the_fields_of_a_role(source):
    settings = of_source(
        source,
        assume_role_arn=ROLE,
        assume_role_session_name="night",
        assume_role_duration="900",
        assume_role_external_id=EXTERNAL_ID,
    )

    role = settings.key_source()
    assert (role.role_arn, role.session_name, role.duration, role.external_id) == (ROLE, "night", 900, EXTERNAL_ID)
    assert role.sts_endpoint == INTL_STS
    assert (settings.identity, settings.has_own_key) == ("account:100000000001", False)


# Odd values


ODD = {
    "credential_source": ("cvm-role", "CVM_ROLE", "default", 7, [], {}, True, False, 0),
    "cam_role_name": ("", "a/b", "../x", "a b", "a?b", "a" * 129, "r\n", "\u00e9", 7, [], {}, False),
    "profile": ("", "a\nb", "\x00", 7, [], {}, False),
    "credentials_file": ("", "keys", "./keys", "~/keys", "/a\nb", "/a\x00", 7, [], {}, False),
    "assume_role_arn": (
        *("", "buyer", "arn:aws:iam::1:role/x", "qcs::cam::uin/:roleName/b", "qcs::cam::uin/x:roleName/b"),
        *("qcs::cam::uin/1:roleName/", "qcs::cam::uin/1:user/b", f"{ROLE} ", f"{ROLE}\n", f" {ROLE}", "\ud800"),
        *("qcs::cam::uin/\u0661:roleName/b", 7, [], {}, False),
    ),
    "assume_role_session_name": ("", "a", "a" * 129, "a:b", "a/b", "a b", "ab\n", "\u00e9\u00e9", 77, [], {}, False),
    "assume_role_duration": ("", 0, -1, 43_201, 1.5, "1.5", "1e3", "soon", "PT1H", 10**30, True, False, [], {}),
    "assume_role_external_id": ("", " x", "x\ny", "\u00e9", "x" * 129, 7, [], {}, False, "\ud800"),
    "sts_endpoint": ("", "[", "https://", "a b", "sts_x.tencentcloudapi.com", 7, [], {}, False, "\x00"),
    "account_id": ("", "0", "01", "-1", "1.0", "1e11", "x", " 1", "1\n", "\u0661", 0, -1, 1.5, 10**30, True, [], {}),
}
WHERE = {"cam_role_name": "cvm_role", "profile": "profile", "credentials_file": "profile"}


@pytest.mark.parametrize(("field", "odd"), [(field, odd) for field, values in ODD.items() for odd in values])
def test_an_odd_value_is_a_mistake_that_names_its_field_and_an_empty_one_is_none(field, odd):
    extra = {"assume_role_arn": ROLE, "sts_endpoint": "sts.tencentcloudapi.com", field: odd}
    source = extra.get("credential_source", WHERE.get(field, "connection"))

    if odd == "":
        assert read_with(source or "connection", extra).conn_id == "c"
        return
    mistakes = mistakes_of(read_with, source, extra)
    assert {mistake.split()[1] for mistake in mistakes if field in mistake} >= {field}, mistakes
    assert str(mistakes).encode()


def read_with(source, extra):
    is_known = source in SOURCES and source != "connection"
    return read(**({"login": "", "password": ""} if is_known else {}), **{"credential_source": source, **extra})


def test_every_mistake_is_named_at_once():
    mistakes = mistakes_of(
        of_source,
        "cvm_role",
        login=SECRET_ID,
        token=TOKEN,
        cam_role_name="a/b",
        assume_role_arn="buyer",
        assume_role_duration=0,
        account_id="mine",
        sts_endpoint="https://evil.example",
        accountid="1",
    )

    assert len(mistakes) == 8, mistakes


@pytest.mark.parametrize("seed", range(300))
def test_no_connection_is_read_in_part(seed):
    """Either all fields are sound, and name one source, or the mistakes are listed."""
    draw = random.Random(seed)
    sound = {"credential_source": draw.choice(SOURCES), "assume_role_arn": ROLE, "account_id": 100000000001}
    extra = {name: value for name, value in sound.items() if draw.random() < 0.7}
    for field in draw.sample(sorted(ODD), 2):
        extra[field] = draw.choice(ODD[field])
    key = draw.choice([{}, {"login": None, "password": None}, {"login": ""}])

    try:
        settings = read(**key, **extra)
    except InvalidRequest as error:
        mistakes, shown = error.mistakes, str(error)
    else:
        mistakes, shown = (), repr(settings)
        source = settings.key_source()
        assert hash(source) == hash(settings.key_source())
        assert bool(settings.secret_key) is (settings.credential_source == "connection")
        assert settings.identity
    assert SECRET_KEY not in shown
    assert all(mistakes)


# Slips that would take another key


SLIPS = {
    "account_id": ("accountid", "account-id", "ACCOUNT_ID", "acount_id", "account", "uin"),
    "credential_source": ("credentials_source", "credential_sources", "credentialsource", "key_source"),
    "assume_role_arn": ("role_arn", "assume_role", "assumed_role_arn", "RoleArn"),
    "cam_role_name": ("role_name", "cam_role", "camrolename"),
    "profile": ("profiles", "profil"),
    "credentials_file": ("credential_file", "credentials_files"),
}


@pytest.mark.parametrize(("meant", "slip"), [(meant, slip) for meant, slips in SLIPS.items() for slip in slips])
def test_a_slip_in_a_name_does_not_take_another_key(meant, slip):
    (mistake,) = mistakes_of(**{slip: "x"})

    assert mistake == f"extra {slip!r} is not known here, and would leave out a rule about the key: is {meant} meant?"


# Another account, and another server


@pytest.mark.parametrize("account_id", [100000000002, "100000000002"])
def test_a_role_of_another_account_than_the_one_that_pays_is_refused(account_id):
    (mistake,) = mistakes_of(assume_role_arn=ROLE, account_id=account_id)

    assert "an ARN of another account" in mistake
    assert "100000000001" in mistake
    assert "100000000002" in mistake


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("https://evil.example", "'evil.example' is not under tencentcloudapi.com"),
        ("sts.tencentcloudapi.com.evil.example", "is not under"),
        ("https://sts.intl.tencentcloudapi.com@evil.example", "is not under"),
        (f"https://user:{SECRET_KEY}@sts.tencentcloudapi.com", "must be an address and nothing more"),
        ("https://sts.tencentcloudapi.com/v2", "must be an address and nothing more"),
        ("http://sts.tencentcloudapi.com", "must be https"),
        ("ftp://127.0.0.1", "is not an address"),
    ],
)
def test_an_address_of_sts_obeys_the_same_list_as_the_host(address, text):
    mistakes = mistakes_of(sts_endpoint=address)

    assert all(mistake.startswith("extra sts_endpoint ") for mistake in mistakes)
    assert text in mistakes[-1]


def test_an_allowed_host_may_be_the_address_of_sts():
    allowed = ["sts-gateway.example.com"]

    assert read(allowed, sts_endpoint="STS-Gateway.example.com:443").sts_address == "https://sts-gateway.example.com"


@pytest.mark.parametrize("host", ["billing-gateway.example.com", "billing.example.com"])
@pytest.mark.parametrize("extra", [{"assume_role_arn": ROLE}, {"credential_source": "tke_oidc"}])
def test_an_sts_that_no_list_allows_is_not_guessed_from_an_allowed_host(host, extra):
    key = {"login": "", "password": ""} if "credential_source" in extra else {}

    (mistake,) = mistakes_of(read, [host], host=host, **key, **extra)

    assert mistake.startswith("extra sts_endpoint is missing")
    assert read([host], host=host, **key, **extra, sts_endpoint="sts.tencentcloudapi.com").sts_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (None, INTL_STS),
        ("billing.tencentcloudapi.com", "https://sts.tencentcloudapi.com"),
        (SANDBOX, SANDBOX),
        ("localhost:8765", "http://localhost:8765"),
    ],
)
def test_the_address_of_sts_belongs_to_the_site_of_the_host(host, address):
    assert read(host=host, assume_role_arn=ROLE).key_source().sts_endpoint == address


# What is read


@pytest.mark.parametrize("account_id", [100000000001, "100000000001"])
def test_an_account_may_be_a_number_in_json(account_id):
    settings = read(account_id=account_id)

    assert (settings.account_id, settings.identity) == ("100000000001", "account:100000000001")


def test_each_source_is_the_one_of_its_name():
    assert of_source("environment").key_source() == Environment()
    assert of_source("profile").key_source() == Profile()
    assert of_source("profile", profile="buying", credentials_file="/k").key_source() == Profile("/k", "buying")
    assert of_source("cvm_role").key_source() == CvmRole("", INTL_METADATA)
    assert of_source("cvm_role", cam_role_name="buyer", host=SANDBOX).key_source() == CvmRole("buyer", SANDBOX)
    assert of_source("tke_oidc").key_source() == TkeOidc("Airflow_c", 7200, INTL_STS)
    role = of_source("cvm_role", assume_role_arn=ROLE).key_source()
    assert role == AssumedRole(CvmRole("", INTL_METADATA), ROLE, "Airflow_c", 7200, "", INTL_STS)


def test_a_connection_as_it_was_before_reads_as_it_did():
    settings = read()

    assert (settings.identity, settings.has_own_key, settings.sts_endpoint) == (SECRET_ID, True, "")
    assert Session(lambda: settings).credentials is None


def test_the_temporary_keys_of_one_connection_share_a_queue():
    assert read(token="one").identity == read(login="AKIDANOTHER", token="two").identity == "connection:c"
    assert read(token="one", conn_id="d").identity == "connection:d"


@pytest.mark.parametrize("conn_id", ["c", "my conn/\u00e9:1", "c" * 200, "", "a+b=c,d.e@f-g_h"])
def test_the_name_of_a_session_is_always_one_that_sts_accepts(conn_id):
    settings = read(conn_id=conn_id, assume_role_arn=ROLE)

    assert read(assume_role_arn=ROLE, assume_role_session_name=settings.assume_role_session_name)
    assert settings.assume_role_session_name.startswith("Airflow_")
    assert session_name_of("my conn/\u00e9:1") == "Airflow_my_conn___1"


# What is shown and written


def test_no_secret_is_shown_or_written():
    settings = read(token=TOKEN, assume_role_arn=ROLE, assume_role_external_id=EXTERNAL_ID)
    hook = TcBillingHook()
    session = hook.session()
    vars(session)["settings"] = settings

    shown = f"{settings!r}{settings}{settings.key_source()!r}{session.settings!r}{session.credentials!r}{vars(hook)!r}"

    assert not [text for text in (SECRET_KEY, TOKEN, EXTERNAL_ID) if text in shown]
    for kept in (settings, settings.key_source(), session):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(kept)


def test_the_form_has_each_field_with_its_choices_and_the_secret_one_hidden():
    fields = get_provider_info()["connection-types"][0]["conn-fields"]

    assert {field.name for field in KEY_FIELDS} < set(fields)
    source = fields["credential_source"]["schema"]
    assert (source["enum"], source["default"]) == (list(SOURCES), "connection")
    assert fields["assume_role_external_id"]["schema"]["format"] == "password"
    assert json.dumps(fields)


def test_the_form_says_that_the_key_is_not_always_needed():
    placeholders = TcBillingHook.get_ui_field_behaviour()["placeholders"]

    assert all("another source" in placeholders[name] for name in ("login", "password"))
