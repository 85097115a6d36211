"""Answers that are odd in one place: the rest is read, what is bounded stays bounded, and nothing is guessed."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown
from airflow_provider_tcbilling.api.instance_list import renewable
from airflow_provider_tcbilling.api.reading import json_of, number_of
from airflow_provider_tcbilling.purchasing.evidence import order_numbered, search
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import ORDER, client_to
from tests.support.answers import Answer, posting

BOUND = 24 * 2**20
"""Bytes of an answer of 600 MB that a server gets rid of at most: what is read, and what the sockets hold."""

OK = b"HTTP/1.1 200 OK\r\n"
PLACED = b'{"Response": {"RequestId": "r", "OrderId": "2026", "InstanceIdList": null}}'


@contextmanager
def serving(head, megabytes=0):
    """Answer with a head, and so many megabytes; count the bytes that are taken."""
    server = SimpleNamespace(taken=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    request = b""
                    while not request.endswith(b"}"):
                        request += connection.recv(2**16)
                    try:
                        connection.sendall(head)
                        for _ in range(megabytes):
                            connection.sendall(b"7" * 2**20)
                            server.taken += 2**20
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield server


def create(url, **options):
    client = client_to(None, endpoint=url, attempts=1, read_timeout=20.0, **options)
    return client.create_instance(client_token="t", **ORDER)


LONG = b"Content-Length: 629145600\r\n\r\n"
ENDLESS = {
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n" + LONG, "HTTP status 302"),
    "a redirect to nowhere": (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n" + LONG, "HTTP status 302"),
    "an error page": (b"HTTP/1.1 502 Bad Gateway\r\n" + LONG, "HTTP status 502"),
    "an answer": (OK + LONG, "larger than 8388608 bytes"),
    "an answer without length": (OK + b"\r\n", "larger than 8388608 bytes"),
    "a chunk of a negative size": (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "larger than 8388608 bytes"),
    "a trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", "larger than|exceeded"),
}


@pytest.mark.parametrize(("head", "words"), ENDLESS.values(), ids=ENDLESS)
def test_of_an_answer_of_600_megabytes_only_a_few_are_read(head, words):
    with serving(head, megabytes=600) as server:
        with pytest.raises(OutcomeUnknown, match=words):
            create(server.url)
        time.sleep(0.1)

    assert server.taken < BOUND


@pytest.mark.parametrize(
    "location", [b"http://[::1", b"//\xff", b"\xc3\xa9\xff", b"http://a:999999/", b"http://*.\xff/"]
)
def test_a_redirect_is_not_looked_at_whatever_its_address(location):
    body = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with serving(body) as server, pytest.raises(OutcomeUnknown, match="HTTP status 302 instead of an answer"):
        create(server.url)


def packed(body, coding="gzip"):
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding.encode(), len(body)) + body


def test_an_answer_that_was_packed_unasked_is_read_and_a_bomb_is_not_unpacked():
    with serving(packed(gzip.compress(PLACED))) as server:
        assert create(server.url).order_id == "2026"
    for bomb, coding in [
        (gzip.compress(b" " * 300 * 2**20), "gzip"),
        (gzip.compress(gzip.compress(b" " * 300 * 2**20)), "gzip, gzip"),
    ]:
        with serving(packed(bomb, coding)) as server, pytest.raises(OutcomeUnknown, match=r"larger than|not an answer"):
            create(server.url)


# What is read


@pytest.fixture
def answered(monkeypatch):
    """Let every request be answered by a body; return a client, and what was sent."""

    def by(body):
        text = body if isinstance(body, bytes) else json.dumps({"Response": {"RequestId": "r", **body}}).encode()
        posting(monkeypatch, lambda *request: Answer(text))
        return client_to(None, endpoint="http://127.0.0.1:9", attempts=1)

    return by


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"Response": null}',
        b'{"Response": [["OrderId", "2026"], ["RequestId", "r"]]}',
        b'{"Response": {"OrderId": "2026", "Error": null}}',
        b'{"Response": {"OrderId": "2026", "Error": []}}',
        b'{"Response": {"OrderId": NaN}}',
        b'{"Response": {"OrderId": ' + b"7" * 30 + b"}}",
        b'{"Response": {"OrderId": ' + b"7" * 9999 + b"}}",
        b'{"Response": {"OrderId": "2026", "OrderId": "2027"}}',
        b'{"Response": {"OrderId": "2026", "Error": {"Code": "InternalError"}, "Error": {"Code": "InvalidParameter"}}}',
        b'{"Response": ' + b"[" * 100_000,
        PLACED.decode().encode("utf-16")[:-1],
        b"\xff\xfe\xfd",
    ],
)
def test_an_answer_that_does_not_name_one_order_leaves_the_outcome_unknown(answered, body):
    with pytest.raises(OutcomeUnknown) as caught:
        answered(body).create_instance(client_token="t", **ORDER)

    assert caught.value.ambiguous


def test_what_is_twice_the_same_is_once_and_what_is_nested_deep_is_left_out():
    assert json_of(b'{"a": 1, "a": 1}') == {"a": 1}
    assert json_of(b'{"a": 1, "a": 2}') == {"a": [1, 2]}
    assert len(repr(json_of(b"[" * 900 + b"]" * 900))) < 60
    assert number_of(json_of(b"1" * 5000)) is None


def row(number=0, **changes):
    shown = {
        "OrderId": f"2026{number}",
        "BigDealId": f"1{number}",
        "Status": 4,
        "Action": "purchase",
        "Currency": "USD",
    }
    return {**shown, "ResourceId": ["ins-1"], "CreateTime": "2026-11-30 10:00:00", "RealTotalCost": 100, **changes}


def book(*rows):
    return {"Deals": list(rows), "TotalCount": len(rows)}


@pytest.mark.parametrize(
    ("price", "paid"),
    [
        ("100.00", 100),
        ("23.5", 24),
        ("100", 100),
        (99.99999999, 100),
        (None, 0),
        ("a lot", None),
        ({}, None),
        (True, None),
        ("9" * 9999, None),
    ],
)
def test_an_order_is_delivered_however_its_price_is_written(answered, price, paid):
    client = answered(book(row(RealTotalCost=price, BigDealId=None)))

    order = DeliveryWatch(client, "20260").step().order

    assert (order.order_id, order.instance_ids, order.paid_cents) == ("20260", ("ins-1",), paid)
    assert ("not known" in order_numbered(client, "20260").summary) is (paid is None)


@pytest.mark.parametrize(("value", "ids"), [("ins-9", ("ins-9",)), ("ins-9, ins-8", ()), ("", ()), ({}, ()), (7, ())])
def test_a_text_in_place_of_a_list_of_instances_is_one_id_or_nothing(answered, value, ids):
    (deal,) = answered(book(row(ResourceId=value))).describe_deals()

    assert deal.resource_ids == ids


BROKEN = [
    None,
    7,
    "text",
    [],
    {},
    *(row(5, **{name: odd}) for name in row() for odd in (None, {}, [[]], "?" * 300, "\ud800", 1e300, True)),
]


@pytest.mark.parametrize("status", ["many", 4.5, True, {}, [4]])
def test_a_status_that_cannot_be_one_is_no_ending(answered, status):
    deals = answered(book(row(1), row(2, Status=status))).describe_deals()

    assert [deal.status for deal in deals] == [4, 0]


def test_one_broken_row_hides_none_of_the_other_199(answered):
    for broken in BROKEN:
        rows = [row(number) for number in range(100, 299)]
        rows.insert(50, broken)

        listed = answered(book(*rows)).describe_deals()

        assert {f"2026{number}" for number in range(100, 299)} <= {deal.order_id for deal in listed}
        assert len(listed) == 200


def test_a_broken_row_may_be_ours_as_long_as_nothing_understood_differs(answered):
    now = time.time()
    compared = NewInstance(client_to(None, endpoint="http://127.0.0.1:9"), ORDER)._compared
    another = row(1, ProductCode="p_cvm")

    def look(broken):
        return search(answered(book(another, broken)), now - 10, now, compared)

    assert [len(look(broken).unclear) for broken in (None, 7, {}, {"ProductCode": "p_cvm"})] == [1, 1, 1, 0]


def test_a_broken_instance_hides_none_of_the_others_and_a_broken_cursor_is_no_last_page(answered, caplog):
    sound = {"InstanceId": "ins-1", "RenewPeriod": "1.5"}
    for broken in (None, 7, {}, {"InstanceId": None}, {"InstanceId": ["ins-2"]}):
        client = answered({"InstanceList": [broken, sound], "NextToken": None})
        assert [instance.instance_id for instance in renewable(client)] == ["ins-1"]
    assert "left out of the list" in caplog.text
    for cursor in (0, False, [], {}, 7):
        with pytest.raises(OutcomeUnknown):
            list(renewable(answered({"InstanceList": [sound], "NextToken": cursor})))
    for listed in (None, {}, "text", 7):
        with pytest.raises(OutcomeUnknown):
            list(renewable(answered({"InstanceList": listed})))


@pytest.mark.parametrize("listed", [{}, "", 0, False, "text", {"a": 1}, [None]])
def test_that_a_renewal_was_set_is_not_believed_of_an_answer_that_is_odd(answered, listed):
    fields = {"product_code": "p_a", "region_code": "r", "instance_id": "i", "renew_flag": "NOTIFY_AND_AUTO_RENEW"}

    with pytest.raises(OutcomeUnknown):
        answered({"InstanceList": listed}).set_renewal(**fields)


@pytest.mark.parametrize(("value", "cents"), [(5, 5), ("5.00", 5), (5.9, 5), (-0.5, -1)])
def test_a_balance_is_read_however_it_is_written_and_its_account_is_not(answered, value, cents):
    assert answered({"Balance": value, "Uin": 7}).describe_account_balance().balance_cents == cents
    for balance, uin in (("lots", 7), (None, 7), (5, "7"), (5, None)):
        with pytest.raises(OutcomeUnknown):
            answered({"Balance": balance, "Uin": uin}).describe_account_balance()


# What a client is made of


@pytest.mark.parametrize("host", ["sandbox.example.com", "10.0.0.1:8765", "127.0.0.2", "[fe80::1]"])
def test_a_client_signs_nothing_in_the_clear_for_another_machine(host):
    with pytest.raises(InvalidRequest, match="must be https"):
        client_to(None, endpoint=f"http://{host}")

    assert client_to(None, endpoint=f"http://{host}", allow_http=True).endpoint == f"http://{host}"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8765", "[0:0:0:0:0:0:0:1]"])
def test_a_client_speaks_to_this_machine_without_tls(host):
    assert client_to(None, endpoint=f"http://{host}").endpoint.startswith("http://")


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"endpoint": odd}
            for odd in (None, 7, [], {}, b"https://e", "", "host:x", "\ud800", "https://[", "https://\x00")
        ),
        *({name: odd} for name in ("secret_id", "secret_key", "token", "language") for odd in (7, [], b"k", "\ud800")),
        *({"read_timeout": odd} for odd in (0, -1, float("nan"), float("inf"), 10**400, True, "5", None, [], 1e300)),
    ],
)
def test_what_no_client_can_be_made_of_is_told_before_anything_is_sent(options):
    with pytest.raises(InvalidRequest):
        client_to(None, **{"endpoint": "http://127.0.0.1:9", **options})
