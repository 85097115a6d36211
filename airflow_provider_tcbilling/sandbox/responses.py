"""Responses: the answer to a request as it should be, or as the faults in force spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_tcbilling.sandbox.metadata import METADATA
from airflow_provider_tcbilling.sandbox.sandbox import Exchange

_HTML = b"<html><head><title>Sandbox</title></head><body>Not what you asked for.</body></html>"


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes


def response_of(exchange: Exchange) -> Response:
    """Write the response to an exchange; each fault spoils the result of the one before it."""
    content = exchange.response
    for fault in exchange.faults:
        if fault.fault in _OF_CONTENT:
            content = _OF_CONTENT[fault.fault](content, fault.options)
    response = _written(exchange, content)
    for fault in exchange.faults:
        if fault.fault in _OF_RESPONSE:
            response = _OF_RESPONSE[fault.fault](response, fault.options)
    return response


def _written(exchange: Exchange, content: dict[str, Any]) -> Response:
    if page := exchange.page:
        return Response(page.status, page.content_type, page.text.encode())
    whole = content if exchange.entry.action == METADATA else {"Response": content}
    return Response(200, "application/json", json.dumps(whole).encode())


def _error(content: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    error = {"Code": options["code"], "Message": options["message"]}
    return {"Error": error, **{name: value for name, value in content.items() if name == "RequestId"}}


def _without(*names: str) -> Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]:
    return lambda content, options: {key: value for key, value in content.items() if key not in names}


def _null_instances(content: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "InstanceIdList": None} if "InstanceIdList" in content else content


_OF_CONTENT: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "answer": lambda content, options: {**content, **options["response"]},
    "error": _error,
    "no-request-id": _without("RequestId"),
    "no-order-id": _without("OrderId", "OrderIdList"),
    "null-instances": _null_instances,
}

_OF_RESPONSE: Mapping[str, Callable[[Response, Mapping[str, Any]], Response]] = {
    "http": lambda response, options: Response(options["status"], "text/html", _HTML),
    "html": lambda response, options: Response(200, "text/html", _HTML),
    "truncated": lambda response, options: replace(response, body=response.body[: len(response.body) // 2]),
    "garbage": lambda response, options: replace(response, body=b"\x00" * options["bytes"]),
    "charset": lambda response, options: replace(response, content_type="application/json; charset=utf-8"),
}
