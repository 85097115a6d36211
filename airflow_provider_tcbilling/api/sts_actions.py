"""Every fact about the operations of Tencent's Security Token Service, once: tables as those of the billing API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_provider_tcbilling.api.schema import Action, Field, Kind, Replay

STS_SERVICE = "sts"
STS_VERSION = "2018-08-13"

STS_REGION = "ap-guangzhou"
"""STS demands a region, and gives the same keys in each."""

DEFAULT_DURATION, LONGEST_DURATION = 7200, 43_200
"""Seconds that the key of a role lives if nothing is said, and at most."""

_PAGES = "https://www.tencentcloud.com/document/api/1150"

_ROLE_ARN = Field(
    "RoleArn",
    Kind.TEXT,
    "The role, such as qcs::cam::uin/100000000001:roleName/buyer.",
    required=True,
)
_SESSION_NAME = Field(
    "RoleSessionName",
    Kind.TEXT,
    "The name of the session in Tencent's audit log.",
    required=True,
    pattern=(r"[\w+=,.@-]{2,128}", "2 to 128 letters, digits and characters of +=,.@_-"),
    is_ascii=True,
)
_DURATION = Field(
    "DurationSeconds",
    Kind.INTEGER,
    "Seconds that the key lives.",
    default=DEFAULT_DURATION,
    minimum=1,
    maximum=LONGEST_DURATION,
)
_KEY = (
    Field("Credentials", Kind.OBJECT, "The key: TmpSecretId, TmpSecretKey and Token.", required=True),
    Field("ExpiredTime", Kind.INTEGER, "Epoch second at which it expires.", required=True),
    Field("Expiration", Kind.TEXT, "The same moment as a text, in UTC."),
)

ASSUME_ROLE = Action(
    name="AssumeRole",
    about="Gives a temporary key of a role.",
    replay=Replay.SAFE,
    permission="sts:AssumeRole on the role, whose trust policy must name the principal",
    url=f"{_PAGES}/49456",
    fields=(
        _ROLE_ARN,
        _SESSION_NAME,
        _DURATION,
        Field("Policy", Kind.TEXT, "A policy that narrows the key's permissions, URL-encoded.", max_length=2048),
        Field("ExternalId", Kind.TEXT, "A text that the role's trust policy demands.", max_length=128),
    ),
    answer=_KEY,
)

ASSUME_ROLE_WITH_WEB_IDENTITY = Action(
    name="AssumeRoleWithWebIdentity",
    about="Gives a temporary key of a role for a token of an identity provider, such as a cluster. Unsigned.",
    replay=Replay.SAFE,
    permission="none: the role's trust policy must name the identity provider",
    url=f"{_PAGES}/49454",
    fields=(
        Field("ProviderId", Kind.TEXT, "Name of the identity provider.", required=True),
        Field("WebIdentityToken", Kind.TEXT, "The token that the provider has issued.", required=True),
        _ROLE_ARN,
        _SESSION_NAME,
        _DURATION,
    ),
    answer=_KEY,
)

GET_CALLER_IDENTITY = Action(
    name="GetCallerIdentity",
    about="Tells which account and which principal a key is of.",
    replay=Replay.SAFE,
    permission="none",
    url=f"{_PAGES}/49453",
    fields=(),
    answer=(
        Field("AccountId", Kind.TEXT, "The account's number.", required=True),
        Field("PrincipalId", Kind.TEXT, "The number of the user, or of the account that assumed the role."),
        Field("Arn", Kind.TEXT, "The caller, such as qcs::sts:100000000001:assumed-role/4611686018427397919."),
        Field("UserId", Kind.TEXT, "The user, or roleId:roleSessionName."),
        Field("Type", Kind.TEXT, "Such as CAMUser or CAMRole."),
    ),
)

STS_ACTIONS: Mapping[str, Action] = MappingProxyType(
    {action.name: action for action in (ASSUME_ROLE, ASSUME_ROLE_WITH_WEB_IDENTITY, GET_CALLER_IDENTITY)}
)
