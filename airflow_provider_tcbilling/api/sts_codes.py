"""The error codes of Tencent's Security Token Service, each with its meaning and its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_provider_tcbilling.api import error_codes

_INVALID = "InvalidParameter"
_COMPARE_ROLE = "Compare the role's ARN with its page in CAM, also the account in it."

STS_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "AuthFailure.AccessKeyIllegal": (
            "The key that asks for the role is not valid. Compare its SecretId with the console: it may be disabled, "
            "deleted, or of the other site."
        ),
        "AuthFailure.UnauthorizedOperation": (
            "The principal may not assume this role. Grant it sts:AssumeRole on the role, and name it in the role's "
            "trust policy. Compare the external id, if that policy demands one."
        ),
        "InternalError": "STS failed. It passes by itself; the request is sent again.",
        "InternalError.GetRoleError": f"STS could not read the role. If this does not pass: {_COMPARE_ROLE}",
        "InternalError.IllegalRole": f"STS does not accept the role. {_COMPARE_ROLE}",
        f"{_INVALID}.AccessKeyNotSupport": (
            "This kind of key cannot assume a role. Use the key of a CAM user or of another role: the owner's own key "
            "of an account cannot."
        ),
        f"{_INVALID}.AccountNotAvaliable": "The role's account does not exist or is closed. Compare the ARN.",
        f"{_INVALID}.OverLimit": "Too many requests to STS in this second. They are sent again, more slowly.",
        f"{_INVALID}.OverTimeError": (
            "The key would live longer than this role allows. Give a smaller assume_role_duration, or raise the "
            "role's maximum session duration in CAM."
        ),
        f"{_INVALID}.ParamError": (
            "STS does not accept a parameter. Compare assume_role_arn, assume_role_session_name, "
            "assume_role_duration and assume_role_external_id with the role in CAM."
        ),
        f"{_INVALID}.PrincipalQcsError": f"STS cannot read the principal or the role. {_COMPARE_ROLE}",
        f"{_INVALID}.ResouceError": f"The role's ARN has not the form of one. {_COMPARE_ROLE}",
        f"{_INVALID}.WebIdentityTokenError": (
            "STS refuses the pod's identity token. Check whether it has expired, and whether the role's trust policy "
            "names the cluster's identity provider, its issuer and its client id."
        ),
        "RequestLimitExceeded": "Too many requests to STS in this second. They are sent again, more slowly.",
        "ResourceNotFound.RoleNotFound": (
            f"There is no such role. {_COMPARE_ROLE} The name is case-sensitive, and each site has its own roles."
        ),
        "UnauthorizedOperation": (
            "The principal may not assume this role. Grant it sts:AssumeRole on the role, and name it in the role's "
            "trust policy. Compare the external id, if that policy demands one."
        ),
    }
)
"""The meaning and the remedy of each code. A code stands for the longer ones that begin with it and a dot, too."""


def remedy_of(code: str) -> str:
    """Return the meaning of an STS code and what to do; empty if only the server's message tells that."""
    family = code
    while error_codes.CODE.fullmatch(family):
        if remedy := STS_REMEDIES.get(family):
            return remedy
        family = family.rpartition(".")[0]
    # Codes about a key and its signature mean the same at every service.
    return error_codes.remedy_of(code) if code.startswith("AuthFailure") else ""
