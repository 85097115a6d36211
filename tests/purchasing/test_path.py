"""The path of a purchase: few frames from the caller to the wire, one payload, and the same bytes in every request."""

from __future__ import annotations

import json
import sys

import requests

from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.conftest import ORDER, client_to
from tests.support.shelf import Shelf

FRAMES = ["place", "_send", "place", "call", "send"]
"""Of ours, from the purchase to the library that sends: design section 4 counts ``execute`` before them."""


def own_frames():
    """Return the functions of the package that are under way, outermost first."""
    frame, names = sys._getframe(1), []
    while frame:
        if frame.f_globals.get("__name__", "").startswith("airflow_provider_tcbilling."):
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names[::-1]


def test_a_purchase_is_five_frames_from_the_wire(sandbox, monkeypatch):
    post, found = requests.Session.post, []

    def traced(*args, **kwargs):
        found.append(own_frames())
        return post(*args, **kwargs)

    monkeypatch.setattr(requests.Session, "post", traced)

    Purchase("firewall", NewInstance(client_to(sandbox), ORDER), Shelf()).place()

    assert found == [FRAMES]


def test_a_payload_is_computed_once_however_often_it_is_sent(sandbox, passing_time, monkeypatch):
    built, sent = [], []
    build, post = Action._payload, requests.Session.post
    monkeypatch.setattr(Action, "_payload", lambda self, *args: (built.append(self.name), build(self, *args))[1])

    def traced(session, url, **request):
        if request["headers"]["X-TC-Action"] == "CreateInstance":
            sent.append(request["data"])
        return post(session, url, **request)

    monkeypatch.setattr(requests.Session, "post", traced)
    sandbox.faults.add({"fault": "drop", "when": "before", "times": 2, "action": "CreateInstance"})
    rules = Rules(lag=1.0, request_seconds=5.0)

    Purchase("firewall", NewInstance(client_to(sandbox, read_timeout=2.0), ORDER), Shelf(), rules).place()

    assert built.count("CreateInstance") == 1
    assert len(sent) == 3
    assert len(set(sent)) == 1


def test_the_bytes_that_are_sent_are_those_of_the_payload_and_the_token(sandbox, monkeypatch):
    sent, post = [], requests.Session.post
    monkeypatch.setattr(
        requests.Session, "post", lambda *args, **request: (sent.append(request["data"]), post(*args, **request))[1]
    )
    action = NewInstance(client_to(sandbox), ORDER)

    order = Purchase("firewall", action, Shelf()).place()

    assert json.loads(sent[0]) == {**action.payload, "ClientToken": order.client_token}
