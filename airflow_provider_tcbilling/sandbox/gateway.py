"""The gateway: the checks that a request passes before it reaches its action."""

from __future__ import annotations

import hmac
import re
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS, SERVICE, VERSION
from airflow_provider_tcbilling.api.signing import (
    ALGORITHM,
    MAX_CLOCK_DIFFERENCE,
    canonical_request,
    credential_scope,
    signature,
    signing_key,
    string_to_sign,
)
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.limits import read_json
from airflow_provider_tcbilling.sandbox.options import Options

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)


class Gateway:
    """Checks signature, clock, version and rate, in the order of the real gateway as far as it is documented."""

    def __init__(self, options: Options, clock: Callable[[], float] | None = None) -> None:
        self._options = options
        self._clock = clock or time.time
        self._recent: dict[str, deque[float]] = defaultdict(deque)

    def admit(self, headers: Mapping[str, str], body: bytes, skew: float) -> tuple[str, dict[str, Any]]:
        """
        Return the action and the request's JSON object, without the fields that are null or empty.

        :param headers: With lower-case names.
        :param skew: Seconds by which the server's clock is ahead.
        :raises Refused: With the code the real gateway documents for it.
        """
        self._check_signature(headers, body, self._clock() + skew)
        action = headers.get("x-tc-action", "")
        if action not in ACTIONS:
            raise Refused("InvalidAction", f"The action {action!r} does not exist.")
        if headers.get("x-tc-version") != VERSION:
            raise Refused("NoSuchVersion", f"The version is {VERSION}.")
        self._check_rate(action)
        try:
            request = read_json(body)
        except ValueError as error:
            raise Refused("InvalidParameter", f"The body is not JSON: {error}.") from None
        if not isinstance(request, dict):
            raise Refused("InvalidParameter", "The body is not a JSON object.")
        # Some SDKs leave a field out that is not set, others send null or an empty text.
        return action, {name: value for name, value in request.items() if value is not None and value != ""}

    def _check_signature(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        given = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        timestamp = headers.get("x-tc-timestamp", "")
        if given is None or not re.fullmatch(r"\d{1,12}", timestamp):
            raise Refused("AuthFailure.InvalidAuthorization", "Authorization or X-TC-Timestamp cannot be read.")
        if given["id"] != self._options.secret_id:
            raise Refused("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        if abs(now - int(timestamp)) > MAX_CLOCK_DIFFERENCE:
            raise Refused("AuthFailure.SignatureExpire", "The signature has expired: check your clock.")
        names = given["headers"].split(";")
        if not {"content-type", "host"} <= set(names):
            raise Refused("AuthFailure.InvalidAuthorization", "content-type and host must be signed.")
        scope = credential_scope(int(timestamp), SERVICE)
        canonical = canonical_request({name: headers.get(name, "") for name in names}, body)
        text = string_to_sign(int(timestamp), scope, canonical)
        right = signature(signing_key(self._options.secret_key, scope), text)
        if given["scope"] != scope or not hmac.compare_digest(right, given["signature"]):
            raise Refused("AuthFailure.SignatureFailure", "The signature does not match the request.")
        if headers.get("x-tc-token", "") != self._options.session_token:
            raise Refused("AuthFailure.TokenFailure", "The token does not belong to the key.")

    def _check_rate(self, action: str) -> None:
        limit = self._options.rate_limit
        if not limit:
            return
        now, recent = time.monotonic(), self._recent[action]
        while recent and now - recent[0] >= 1:
            recent.popleft()
        recent.append(now)
        if len(recent) > limit:
            raise Refused(
                "RequestLimitExceeded",
                f"Your current request times equals to `{len(recent)}` in a second, "
                f"which exceeds the frequency limit `{limit}` for a second.",
            )
