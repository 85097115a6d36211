"""The Security Token Service: temporary keys of roles, and the identity behind a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from airflow_provider_tcbilling.api.schema import Mistake, MistakeKind
from airflow_provider_tcbilling.api.sts_actions import DEFAULT_DURATION, STS_ACTIONS
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.keys import Keys, SandboxKey, written
from airflow_provider_tcbilling.sandbox.roles import Principal, Role

PROVIDER_ID = "tke"
"""The only identity provider there is."""

_ARN = re.compile(r"qcs::cam::uin/\d+:roleName/[\w+=,.@-]+")
_CODES = {MistakeKind.MISSING: "MissingParameter", MistakeKind.UNKNOWN: "UnknownParameter"}


def answer(keys: Keys, principal: Principal | None, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """
    Carry a request to STS out.

    :param principal: The identity that signed it; ``None`` for an unsigned one.
    :raises Refused: It is wrong, or the role does not let it.
    """
    mistakes = STS_ACTIONS[action].check(request)
    if mistakes:
        raise Refused(_code_of(mistakes[0]), "; ".join(f"{mistake.field}: {mistake.text}" for mistake in mistakes))
    return _HANDLERS[action](keys, principal, request)


def expiry_of(key: SandboxKey) -> dict[str, Any]:
    """Return the expiry of a key, as STS and the metadata service write it."""
    moment = datetime.fromtimestamp(key.expires_at, timezone.utc)
    return {"ExpiredTime": int(key.expires_at), "Expiration": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _code_of(mistake: Mistake) -> str:
    if mistake.kind is MistakeKind.VALUE and mistake.field == "DurationSeconds":
        return "InvalidParameter.OverTimeError"
    return _CODES.get(mistake.kind, "InvalidParameter.ParamError")


def _assume_role(keys: Keys, principal: Principal | None, request: Mapping[str, Any]) -> dict[str, Any]:
    role = _role_of(keys, request)
    if principal is None or principal.account not in role.trusts:
        raise Refused("UnauthorizedOperation", f"The role {role.name} does not trust the account of the key.")
    if principal.role and not role.chained:
        raise Refused("InvalidParameter.AccessKeyNotSupport", f"A temporary key may not assume the role {role.name}.")
    if role.external_id and request.get("ExternalId") != role.external_id:
        raise Refused("UnauthorizedOperation", f"The ExternalId is not the one that the role {role.name} demands.")
    return _key_of(keys, role, request, principal.account)


def _assume_role_with_web_identity(
    keys: Keys, principal: Principal | None, request: Mapping[str, Any]
) -> dict[str, Any]:
    token = request["WebIdentityToken"]
    if request["ProviderId"] != PROVIDER_ID or token != token.strip():
        raise Refused("InvalidParameter.WebIdentityTokenError", "The identity provider did not issue this token.")
    role = _role_of(keys, request)
    if not role.web_identity:
        raise Refused("UnauthorizedOperation", f"The role {role.name} does not trust the identity provider.")
    return _key_of(keys, role, request, role.account)


def _role_of(keys: Keys, request: Mapping[str, Any]) -> Role:
    arn = request["RoleArn"]
    if not _ARN.fullmatch(arn):
        raise Refused("InvalidParameter.ResouceError", f"RoleArn: {arn!r} does not name a role.")
    if arn not in keys.roles:
        raise Refused("ResourceNotFound.RoleNotFound", f"There is no role {arn}.")
    return keys.roles[arn]


def _key_of(keys: Keys, role: Role, request: Mapping[str, Any], applicant: int) -> dict[str, Any]:
    principal = Principal(role.account, role, request["RoleSessionName"], applicant)
    key = keys.issue(principal, request.get("DurationSeconds", DEFAULT_DURATION))
    return {"Credentials": written(key), **expiry_of(key)}


def _get_caller_identity(keys: Keys, principal: Principal | None, request: Mapping[str, Any]) -> dict[str, Any]:
    if principal is None:
        raise Refused("AuthFailure.InvalidAuthorization", "GetCallerIdentity must be signed.")
    account, role = principal.account, principal.role
    if role is None:
        of_user = {"Arn": f"qcs::cam:{account}:uin/{account}", "UserId": str(account), "Type": "CAMUser"}
        return {**of_user, "AccountId": str(account), "PrincipalId": str(account)}
    return {
        "Arn": f"qcs::sts:{account}:assumed-role/{role.role_id}",
        "AccountId": str(account),
        "UserId": f"{role.role_id}:{principal.session}",
        "PrincipalId": str(principal.applicant),
        "Type": "CAMRole",
    }


_HANDLERS: Mapping[str, Callable[[Keys, Principal | None, Mapping[str, Any]], dict[str, Any]]] = {
    "AssumeRole": _assume_role,
    "AssumeRoleWithWebIdentity": _assume_role_with_web_identity,
    "GetCallerIdentity": _get_caller_identity,
}
