"""The page, and the JSON interface below ``/_sandbox`` with which tests and users control the sandbox."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.resources import files
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.browser_guard import PAGE_HEADERS
from airflow_provider_tcbilling.sandbox.clock import Clock
from airflow_provider_tcbilling.sandbox.errors import TooLarge, WrongControl
from airflow_provider_tcbilling.sandbox.existing_instances import add_instances, read_time
from airflow_provider_tcbilling.sandbox.faults import KINDS, STRIKABLE
from airflow_provider_tcbilling.sandbox.keys import Keys
from airflow_provider_tcbilling.sandbox.limits import MAX_CONTROL_BYTES, YEAR, Range, is_text, read_body, read_json
from airflow_provider_tcbilling.sandbox.options import LIMITS, check_currency
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox

_JUMP = Range(-10 * YEAR, 10 * YEAR)
"""Seconds by which the clock moves at once."""

_TIMES = ("2000-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00")
"""The first and the last time that the clock can show."""


def routes_of(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the page and of the control interface."""
    control = _Control(sandbox)
    return [
        Route("/", control.page, methods=["GET"]),
        Route("/_sandbox/health", control.health, methods=["GET"]),
        Route("/_sandbox/state", control.state, methods=["GET"]),
        Route("/_sandbox/orders", control.orders, methods=["GET", "POST"]),
        Route("/_sandbox/prices", control.prices, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/money", control.money, methods=["GET", "POST"]),
        Route("/_sandbox/instances", control.instances, methods=["GET", "POST"]),
        Route("/_sandbox/journal", control.journal, methods=["GET"]),
        Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sandbox/keys", control.keys, methods=["GET", "POST"]),
        Route("/_sandbox/clock", control.clock, methods=["GET", "POST"]),
        Route("/_sandbox/reset", control.reset, methods=["POST"]),
    ]


class _Control:
    """The handlers of the routes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def _account(self, request: Request) -> Account:
        """Return the account that a control call names, or the first one."""
        accounts = {str(uin): account for uin, account in self._sandbox.accounts.items()}
        wanted = request.query_params.get("account", str(self._sandbox.account.uin))
        if wanted not in accounts:
            raise WrongControl(f"account must be one of {', '.join(accounts)}")
        return accounts[wanted]

    async def page(self, request: Request) -> Response:
        kinds = {name: [kind.part.value, kind.about, dict(kind.options)] for name, kind in KINDS.items()}
        tables = json.dumps({"kinds": kinds, "actions": list(STRIKABLE)}).replace("<", "\\u003c")
        page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        nonce = secrets.token_urlsafe(16)
        headers = {name: value.replace("{nonce}", nonce) for name, value in PAGE_HEADERS.items()}
        return HTMLResponse(page.replace("{nonce}", nonce).replace("{known}", tables), headers=headers)

    async def health(self, request: Request) -> Response:
        return _Json(self._sandbox.health())

    async def state(self, request: Request) -> Response:
        return _Json(self._sandbox.state())

    async def orders(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "GET":
            return _Json({"orders": [self._sandbox.described(order) for order in account.orders()]})
        added = add_orders(account, await _json_object(request))
        return _Json({"orders": [self._sandbox.described(order) for order in added]}, status_code=201)

    async def prices(self, request: Request) -> Response:
        prices = self._account(request).prices
        if request.method == "POST":
            return _Json(prices.add(await _json_object(request)).as_json(), status_code=201)
        if request.method == "DELETE":
            prices.clear()
        return _Json({"prices": prices.listed(), "month_price_cents": self._sandbox.options.price_cents})

    async def money(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "POST":
            _set_money(account, await _json_object(request))
        return _Json(
            {
                "balance_cents": account.balance_cents,
                "voucher_cents": account.voucher_cents,
                "currency": account.wallet.currency,
            }
        )

    async def instances(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "GET":
            return _Json({"instances": [self._sandbox.detailed(instance) for instance in account.instances()]})
        added = add_instances(account, await _json_object(request))
        return _Json({"instances": [self._sandbox.detailed(instance) for instance in added]}, status_code=201)

    async def journal(self, request: Request) -> Response:
        return _Json({"entries": [asdict(entry) for entry in self._sandbox.journal]})

    async def faults(self, request: Request) -> Response:
        faults = self._sandbox.faults
        if request.method == "POST":
            return _Json(asdict(faults.add(await _json_object(request))), status_code=201)
        if request.method == "DELETE":
            faults.clear()
        return _Json({"faults": faults.listed()})

    async def keys(self, request: Request) -> Response:
        keys = self._sandbox.keys
        if request.method == "POST":
            _change_keys(keys, await _json_object(request))
        return _Json({"machine_role": keys.machine_role, "roles": list(keys.roles), "issued": keys.listed()})

    async def clock(self, request: Request) -> Response:
        clock = self._sandbox.account.clock
        if request.method == "POST":
            _move(clock, await _json_object(request))
        return _Json({"time": self._sandbox.written(clock.now()), "offset_seconds": round(clock.offset, 3)})

    async def reset(self, request: Request) -> Response:
        if await _json_object(request):
            raise WrongControl("reset takes no options")
        self._sandbox.reset()
        return _Json(self._sandbox.health())


def _set_money(account: Account, wanted: dict[str, Any]) -> None:
    if unknown := sorted(set(wanted) - {"balance_cents", "voucher_cents", "currency"}):
        raise WrongControl(f"{', '.join(unknown)}: not known here; there are balance_cents, voucher_cents, currency")
    check_currency(wanted.get("currency", ""))
    for name in ("balance_cents", "voucher_cents"):
        LIMITS[name].check(name, wanted.get(name, 0))
    account.balance_cents = wanted.get("balance_cents", account.balance_cents)
    account.voucher_cents = wanted.get("voucher_cents", account.voucher_cents)
    account.wallet.currency = wanted.get("currency", account.wallet.currency)


def _change_keys(keys: Keys, wanted: dict[str, Any]) -> None:
    if set(wanted) == {"expire"} and wanted["expire"] is True:
        keys.expire()
    elif set(wanted) == {"machine_role"} and is_text(wanted["machine_role"]):
        keys.machine_role = wanted["machine_role"]
    else:
        raise WrongControl('say {"expire": true} or {"machine_role": "other-buyer"}')


def _move(clock: Clock, wanted: dict[str, Any]) -> None:
    now = clock.now()
    if set(wanted) == {"advance"}:
        _JUMP.check("advance", wanted["advance"])
        moment = now + wanted["advance"]
    elif set(wanted) == {"set"} and isinstance(wanted["set"], str) and (read := read_time(wanted["set"])) is not None:
        moment = read
        _JUMP.check("set: the way from now, in seconds,", moment - now)
    else:
        raise WrongControl('say {"advance": SECONDS} or {"set": "2026-12-01T00:00:00Z"}')
    first, last = (datetime.fromisoformat(time).timestamp() for time in _TIMES)
    if not first <= moment <= last:
        raise WrongControl(f"{next(iter(wanted))}: the clock stays between {_TIMES[0]} and {_TIMES[1]}")
    clock.set(moment)


async def _json_object(request: Request) -> dict[str, Any]:
    """
    Return the object that a control call holds; none at all is an empty one.

    A form of another site can send everything but ``application/json`` without a preflight request.
    """
    body = await read_body(request.stream(), MAX_CONTROL_BYTES)
    kind = request.headers.get("content-type", "")
    if (body or kind) and kind.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send the body with Content-Type: application/json")
    try:
        wanted = read_json(body)
    except ValueError as error:
        raise WrongControl(f"the body must be a JSON object: {error}") from None
    if not isinstance(wanted, dict):
        raise WrongControl("the body must be a JSON object")
    return wanted


class _Json(JSONResponse):
    """JSON in ASCII, like the billing API's: half of a surrogate pair has no UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


async def _error_response(request: Request, error: Exception) -> Response:
    status, text, headers = 400, str(error), None
    if isinstance(error, HTTPException):
        status, text, headers = error.status_code, error.detail, error.headers
    if isinstance(error, TooLarge):
        status, text = 413, f"the body has more than {MAX_CONTROL_BYTES} bytes"
    return _Json({"error": text}, status_code=status, headers=headers)


ERROR_RESPONSES: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = dict.fromkeys(
    (WrongControl, HTTPException, TooLarge, ClientDisconnect), _error_response
)
"""The answer to a control call that is not carried out, by the error."""
