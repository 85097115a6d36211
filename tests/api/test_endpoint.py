"""One server has one name, however its address is written; what is no address is refused before anything is sent."""

from __future__ import annotations

import json
import random
import tempfile

import pytest

from airflow_provider_tcbilling.api.actions import ENDPOINT
from airflow_provider_tcbilling.api.endpoint import cleaned, parsed, server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest, Unreachable
from airflow_provider_tcbilling.api.rate_limit import BURST, RateLimiter
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_before_the_answer_is_read
from tests.support.shelf import Shelf

THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]")
HOSTS = ("billing.intl.tencentcloudapi.com", "billing.tencentcloudapi.com", "xn--bcher-kva.example", "10.0.0.7")
PORTS = {"https": 443, "http": 80}
SECRET = "pa55-w0rd-4711"


def servers(seed, count=60):
    """Yield servers as scheme, host and port; a host of ``None`` is this machine."""
    dice = random.Random(seed)
    for _ in range(count):
        host = dice.choice([None, *HOSTS])
        scheme = "https" if host else dice.choice(["http", "https"])
        yield scheme, host, dice.choice([PORTS[scheme], dice.randint(1, 65535)])


def spelling(dice, scheme, host, port):
    """Return one of the ways in which people write the address of a server."""
    name = host or dice.choice(THIS_MACHINE)
    name = "".join(dice.choice([letter.lower(), letter.upper()]) for letter in name)
    written = f"{port:0{dice.randint(1, 6)}d}"
    shown = dice.choice(["", ":", f":{written}"]) if port == PORTS[scheme] else f":{written}"
    dot = dice.choice(["", "."]) if name[-1].isalpha() else ""
    end = "".join(dice.choices("/?#", k=dice.randint(0, 3)))
    blanks = [dice.choice(["", " ", "\n", "\t", "\r\n"]) for _ in range(2)]
    return f"{blanks[0]}{dice.choice([scheme, scheme.upper()])}://{name}{dot}{shown}{end}{blanks[1]}"


@pytest.mark.parametrize("seed", range(20))
def test_every_spelling_of_a_server_has_its_one_name_and_no_other_server_has_it(seed):
    dice, names = random.Random(seed), {}
    for server in servers(seed):
        spelled = {server_name(spelling(dice, *server)) for _ in range(20)}
        assert len(spelled) == 1
        assert names.setdefault(spelled.pop(), server) == server


@pytest.mark.parametrize("seed", range(20))
def test_the_address_that_is_used_is_that_of_the_server_and_is_not_cleaned_further(seed):
    dice = random.Random(seed)
    for server in servers(seed):
        address = cleaned(spelling(dice, *server))
        assert cleaned(address) == address
        assert address == address.strip("/?# \n").lower()
        found = parsed(address)
        assert found.host == server[1] or found.is_loopback
        assert (found.scheme, found.port or PORTS[found.scheme]) == (server[0], server[2])


def test_what_earlier_versions_called_a_server_is_its_name_still():
    assert server_name(ENDPOINT) == cleaned(ENDPOINT) == ENDPOINT
    assert server_name("http://127.0.0.1:8765") == "http://127.0.0.1:8765"


def test_a_host_in_another_script_is_the_host_that_requests_would_ask():
    assert cleaned("https://BÜCHER。example") == "https://xn--bcher-kva.example"


def not_addresses(seed, count=200):
    """Yield texts that are no address, or more than one, each with what is wrong with it and a password in it."""
    dice = random.Random(seed)
    for _ in range(count):
        scheme, host, port = "https", dice.choice(HOSTS[:3]), dice.randint(1, 65535)
        label = "a" * dice.randint(64, 90)
        password = dice.choice([SECRET, f"{SECRET}@", f"/{SECRET}", f"{SECRET}#", f":{SECRET}", f"{SECRET}\n"])
        yield dice.choice(
            [
                f"{scheme}://user:{password}@{host}:{port}",
                f"{scheme}://{password}@{host}",
                f"user:{password}@{host}",
                f"{scheme}://{host}/{SECRET}",
                f"{scheme}://{host}?key={SECRET}",
                f"{scheme}://{host}#{SECRET}",
                f"{scheme}://{host}//{SECRET}",
                f"{scheme}://{label}.{host}",
                f"{scheme}://{host}.{label}:{port}",
                f"{scheme}://{host.replace('.', '..', 1)}",
                f"{scheme}://.{host}",
                f"{scheme}://{host}..",
                f"{scheme}://{'a.' * 130}{host}",
                f"{scheme}://{host}:{SECRET}",
                f"{scheme}://{host}:{dice.choice(['0', '65536', '99999', '-1', '+443', '4 43', '٤٤٣', '1e3'])}",
                f"{dice.choice(['ftp', 'ws', 'file', 'httpss', 'javascript'])}://{host}",
                f"{scheme}://{dice.choice(['ü' * 64, '☃' + chr(0xD800), 'a' + chr(0x300) * 70])}.example",
                f"{scheme}://{dice.choice(['[::g]', '[::1', '::1]', '[1:2]', '127.1', '0x7f.0.0.1', '1.2.3.999'])}",
                f"{scheme}://{host[:4]}{dice.choice(['%', ' ', chr(10), chr(27), chr(92), '*', '|'])}{host}",
                f"{scheme}:/{host}",
                f"{scheme}://",
                dice.choice(["", " ", "://", "//", "@", None, 7]),
            ]
        )


@pytest.mark.parametrize("seed", range(20))
def test_what_is_no_address_or_more_than_one_is_refused_without_showing_a_password(seed):
    for text in not_addresses(seed):
        with pytest.raises(InvalidRequest) as caught:
            cleaned(text)
        assert SECRET not in str(caught.value)
        assert str(caught.value).count("\n") == 1
        assert "\x1b" not in str(caught.value)
        assert SECRET not in server_name(text)


@pytest.mark.parametrize("seed", range(5))
def test_two_spellings_of_a_server_share_its_limit_of_requests(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dice, slept = random.Random(seed), []
    server = next(servers(seed))
    one, two = (RateLimiter(spelling(dice, *server), f"AKID{seed}", 1e-3) for _ in range(2))

    for _ in range(BURST):
        assert one.wait("CreateInstance", 0, slept.append)

    assert not two.wait("CreateInstance", 0, slept.append)


@pytest.fixture
def shelf(passing_time):
    return Shelf()


def spellings(sandbox):
    """Yield ways to write the address of a sandbox that lead there."""
    port = sandbox.url.rpartition(":")[2]
    yield from (f"http://localhost:{port}", f"HTTP://LocalHost.:0{port}/", f" {sandbox.url}/?#\n")


def purchase(sandbox, store, endpoint, key="firewall"):
    client = client_to(sandbox, endpoint=endpoint, read_timeout=60.0)
    return Purchase(key, NewInstance(client, ORDER), store, Rules(lag=10.0, request_seconds=5.0))


@pytest.mark.parametrize("way", range(3))
def test_two_workers_that_write_the_server_differently_have_one_record(start_sandbox, shelf, way):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    first = purchase(sandbox, shelf, sandbox.url).place()

    second = purchase(sandbox, shelf, list(spellings(sandbox))[way]).place()

    assert second.order_id == first.order_id
    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize("is_earlier", [True, False], ids=["as earlier versions wrote it", "as it is written now"])
def test_two_workers_that_write_the_server_differently_see_each_other_as_rivals(start_sandbox, shelf, way, is_earlier):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    written = list(spellings(sandbox))[way]
    with dying_before_the_answer_is_read():
        purchase(sandbox, shelf, written, key="one").place()
    if is_earlier:
        shelf.texts["one"] = json.dumps({**json.loads(shelf.texts["one"]), "endpoint": written})
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})

    with pytest.raises(PurchaseOutcomeUnknown, match=r"may be that of an identical purchase.*one"):
        purchase(sandbox, shelf, sandbox.url, key="two").place()

    assert len(sandbox.account.orders()) == 1


@pytest.mark.parametrize("way", range(3))
def test_an_order_that_a_worker_owns_that_writes_the_server_differently_is_not_taken(start_sandbox, shelf, way):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    written = list(spellings(sandbox))[way]
    first = purchase(sandbox, shelf, written, key="one").place()
    shelf.texts["one"] = json.dumps({**json.loads(shelf.texts["one"]), "endpoint": written})
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})

    second = purchase(sandbox, shelf, sandbox.url, key="two").place()

    assert second.order_id != first.order_id
    assert len(sandbox.account.orders()) == 2


@pytest.mark.parametrize("endpoint", ["", "???", "https://", None, 7, {}, ["https://e"]])
def test_a_record_whose_server_cannot_be_told_is_damaged(sandbox, shelf, endpoint):
    purchase(sandbox, shelf, sandbox.url).place()
    stored = {**json.loads(shelf.texts["firewall"]), "endpoint": endpoint}

    with pytest.raises(InvalidRecord, match="damaged"):
        Record.from_json(stored, "here")


@pytest.mark.parametrize("endpoint", ["http://tc_sandbox:8765", "https://billing_gateway.example.com"])
def test_a_host_whose_name_has_an_underscore_is_one_as_containers_have_them(endpoint):
    assert cleaned(endpoint) == endpoint
    assert server_name(endpoint.upper()) == endpoint


@pytest.mark.parametrize("label", ["a" * 64, "a" * 70, "a." * 130])
def test_a_purchase_from_a_host_that_cannot_exist_was_not_sent_and_its_record_says_so(shelf, label):
    client = client_to(None, endpoint=f"https://{label}.tencentcloudapi.com", attempts=1)

    for _ in range(2):
        with pytest.raises(Unreachable, match="nothing was sent"):
            Purchase("firewall", NewInstance(client, ORDER), shelf, Rules(lag=0.0)).place()

    (text,) = shelf.texts.values()
    assert json.loads(text)["state"] == "declined"
