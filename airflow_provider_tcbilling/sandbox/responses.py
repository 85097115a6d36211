"""What goes over the wire: the answer as it should be, or as the faults in force spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_tcbilling.sandbox.sandbox import Exchange

_HTML = b"<html><head><title>Sandbox</title></head><body>Not what you asked for.</body></html>"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes


def answer_of(exchange: Exchange) -> Answer:
    """Write the answer to an exchange; each fault spoils what the one before it left."""
    response = exchange.response
    for fault in exchange.faults:
        if fault.fault in _RESPONSES:
            response = _RESPONSES[fault.fault](response, fault.options)
    answer = Answer(200, "application/json", json.dumps({"Response": response}).encode())
    for fault in exchange.faults:
        if fault.fault in _ANSWERS:
            answer = _ANSWERS[fault.fault](answer, fault.options)
    return answer


def _error(response: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    error = {"Code": options["code"], "Message": options["message"]}
    return {"Error": error, "RequestId": response["RequestId"]}


def _without(*names: str) -> Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]:
    return lambda response, options: {key: value for key, value in response.items() if key not in names}


def _null_instances(response: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {**response, "InstanceIdList": None} if "InstanceIdList" in response else response


_RESPONSES: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "answer": lambda response, options: {**response, **options["response"]},
    "error": _error,
    "no-request-id": _without("RequestId"),
    "no-order-id": _without("OrderId", "OrderIdList"),
    "null-instances": _null_instances,
}

_ANSWERS: Mapping[str, Callable[[Answer, Mapping[str, Any]], Answer]] = {
    "http": lambda answer, options: Answer(options["status"], "text/html", _HTML),
    "html": lambda answer, options: Answer(200, "text/html", _HTML),
    "truncated": lambda answer, options: replace(answer, body=answer.body[: len(answer.body) // 2]),
    "garbage": lambda answer, options: replace(answer, body=b"\x00" * options["bytes"]),
    "charset": lambda answer, options: replace(answer, content_type="application/json; charset=utf-8"),
}
