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
from airflow_provider_tcbilling.api.sts_actions import (
    ASSUME_ROLE_WITH_WEB_IDENTITY,
    STS_ACTIONS,
    STS_SERVICE,
    STS_VERSION,
)
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.keys import Keys
from airflow_provider_tcbilling.sandbox.limits import read_json
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.roles import Principal

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/]+)/(?P<scope>[^,]+), ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)


_UNSIGNED = "SKIP"
"""In place of a signature, for the one action that needs none."""

_STS_LIMITS = {"GetCallerIdentity": 20}
_STS_LIMIT = 600
"""Requests a second for each action of STS, as the pages of the actions name them."""


class Gateway:
    """Checks signature, clock, version and rate, in the order of the real gateway as far as it is documented."""

    def __init__(self, options: Options, clock: Callable[[], float] | None = None) -> None:
        self._options = options
        self._clock = clock or time.time
        self._recent: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def authenticate(self, headers: Mapping[str, str], body: bytes, skew: float, keys: Keys) -> Principal | None:
        """
        Return the identity that signed a request; ``None`` if the request needs no signature.

        :param headers: With lower-case names.
        :param skew: Seconds by which the server's clock is ahead.
        :raises Refused: With the code the real gateway documents for it.
        """
        is_open = headers.get("x-tc-action") == ASSUME_ROLE_WITH_WEB_IDENTITY.name
        if is_open and headers.get("authorization") == _UNSIGNED:
            return None
        return self._signer(headers, body, self._clock() + skew, keys)

    def admit(self, headers: Mapping[str, str], body: bytes, principal: Principal | None) -> tuple[str, dict[str, Any]]:
        """
        Return the action and the request's JSON object, without the fields that are null or empty.

        :param headers: With lower-case names.
        :param principal: The identity that signed the request.
        :raises Refused: With the code the real gateway documents for it.
        """
        action = headers.get("x-tc-action", "")
        if action not in ACTIONS and action not in STS_ACTIONS:
            raise Refused("InvalidAction", f"The action {action!r} does not exist.")
        version = VERSION if action in ACTIONS else STS_VERSION
        if headers.get("x-tc-version") != version:
            raise Refused("NoSuchVersion", f"The version is {version}.")
        if action in STS_ACTIONS and not headers.get("x-tc-region"):
            raise Refused("MissingParameter", "STS needs the header X-TC-Region.")
        self._check_rate(action, principal)
        if principal and not principal.may(action):
            raise Refused("AuthFailure.UnauthorizedOperation", f"{principal} has no permission for {action} in CAM.")
        try:
            request = read_json(body)
        except ValueError as error:
            raise Refused("InvalidParameter", f"The body is not JSON: {error}.") from None
        if not isinstance(request, dict):
            raise Refused("InvalidParameter", "The body is not a JSON object.")
        # Some SDKs leave a field out that is not set, others send null or an empty text.
        return action, {name: value for name, value in request.items() if value is not None and value != ""}

    @staticmethod
    def _signer(headers: Mapping[str, str], body: bytes, now: float, keys: Keys) -> Principal:
        given = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        timestamp = headers.get("x-tc-timestamp", "")
        if given is None or not re.fullmatch(r"\d{1,12}", timestamp):
            raise Refused("AuthFailure.InvalidAuthorization", "Authorization or X-TC-Timestamp cannot be read.")
        key = keys.find(given["id"])
        if key is None:
            raise Refused("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        if abs(now - int(timestamp)) > MAX_CLOCK_DIFFERENCE:
            raise Refused("AuthFailure.SignatureExpire", "The signature has expired: check your clock.")
        names = given["headers"].split(";")
        if not {"content-type", "host"} <= set(names):
            raise Refused("AuthFailure.InvalidAuthorization", "content-type and host must be signed.")
        service = STS_SERVICE if headers.get("x-tc-action") in STS_ACTIONS else SERVICE
        scope = credential_scope(int(timestamp), service)
        canonical = canonical_request({name: headers.get(name, "") for name in names}, body)
        text = string_to_sign(int(timestamp), scope, canonical)
        right = signature(signing_key(key.secret_key, scope), text)
        if given["scope"] != scope or not hmac.compare_digest(right, given["signature"]):
            raise Refused("AuthFailure.SignatureFailure", "The signature does not match the request.")
        if headers.get("x-tc-token", "") != key.token:
            raise Refused("AuthFailure.TokenFailure", "The token does not belong to the key.")
        if key.expires_at <= keys.now():
            raise Refused(keys.expired_code, "The key has expired.")
        return key.principal

    def _check_rate(self, action: str, principal: Principal | None) -> None:
        limit = self._options.rate_limit
        if not limit:
            return
        if action in STS_ACTIONS:
            limit = _STS_LIMITS.get(action, _STS_LIMIT)
        # All temporary keys of a role count together.
        now, recent = time.monotonic(), self._recent[str(principal), action]
        while recent and now - recent[0] >= 1:
            recent.popleft()
        recent.append(now)
        if len(recent) > limit:
            raise Refused(
                "RequestLimitExceeded",
                f"Your current request times equals to `{len(recent)}` in a second, "
                f"which exceeds the frequency limit `{limit}` for a second.",
            )
