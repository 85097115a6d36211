"""The fields of the connection that name the source of its key, and the account that the key must be of."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.endpoint import cleaned
from airflow_provider_tcbilling.api.schema import whole_number
from airflow_provider_tcbilling.api.sts_actions import DEFAULT_DURATION, LONGEST_DURATION
from airflow_provider_tcbilling.hooks.addresses import address_mistakes
from airflow_provider_tcbilling.hooks.extra_fields import ExtraField, is_given, mistakes_in

__all__ = ["KEY_FIELDS", "SOURCES", "key_mistakes", "key_values"]

CONNECTION, ENVIRONMENT, PROFILE, CVM_ROLE, TKE_OIDC = SOURCES = (
    "connection",
    "environment",
    "profile",
    "cvm_role",
    "tke_oidc",
)
"""The sources of a key. There is no chain from one to the next: a key of the wrong account is the worst one."""

MOST_ID = 128
"""Characters of an external id, as of a session's name."""

_SESSION_NAME = r"[A-Za-z0-9_+=,.@-]{2,128}"


def _matches(pattern: str | re.Pattern[str]) -> Callable[[Any], str]:
    """Return the reader of a text that has a form."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.compile(pattern).fullmatch(value):
            raise ValueError("not of this form")
        return value

    return read


def _absolute(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not os.path.isabs(value):
        raise ValueError("not an absolute path")
    return value


def _role_arn(value: Any) -> str:
    # Read here: only a connection that names a role pays for the import.
    from airflow_provider_tcbilling.api.sts import ROLE_ARN

    return _matches(ROLE_ARN)(value)


def duration_of(value: Any) -> int:
    """Return the seconds that the key of a role lives; ``ValueError`` if STS gives no such key."""
    if not 1 <= (seconds := whole_number(value)) <= LONGEST_DURATION:
        raise ValueError("not a duration of STS")
    return seconds


def account_of(value: Any) -> str:
    """Return the number of an account, also of one that JSON holds as a number; ``ValueError`` if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(whole_number(value))
    return _matches(r"[1-9][0-9]{0,19}")(value)


AN_ACCOUNT = Check(account_of, "the number of an account: digits only")

KEY_FIELDS = (
    ExtraField(
        "credential_source",
        "Source of the key",
        "connection is SecretId and SecretKey of this connection. With another source they stay empty: environment "
        "(variables of the worker), profile (a file of the worker), cvm_role (the role of the machine), tke_oidc (the "
        "identity of the pod).",
        CONNECTION,
        choices=SOURCES,
    ),
    ExtraField(
        "account_id",
        "Account",
        "Number (uin) of the account that pays. With a key of another account nothing is bought.",
        check=AN_ACCOUNT,
    ),
    ExtraField(
        "cam_role_name",
        "Role of the machine",
        "With cvm_role: the name of its role. Left out, it is the machine's only one.",
        check=Check(_matches(r"[A-Za-z0-9_+=,.@-]{1,128}"), "the name of a role: letters, digits and +=,.@_-"),
    ),
    ExtraField("profile", "Profile", "With profile: the section of the file. Left out, it is default."),
    ExtraField(
        "credentials_file",
        "File of the profile",
        "With profile: its absolute path. Left out, it is ~/.tencentcloud/credentials, or else "
        "/etc/tencentcloud/credentials.",
        check=Check(_absolute, "the absolute path of a file"),
    ),
    ExtraField(
        "assume_role_arn",
        "Role to assume",
        "ARN of a role, such as qcs::cam::uin/100000000001:roleName/buyer. The source's key then only asks STS for "
        "temporary keys of this role.",
        check=Check(_role_arn, "the ARN of a role, such as qcs::cam::uin/100000000001:roleName/buyer"),
    ),
    ExtraField(
        "assume_role_session_name",
        "Session name",
        "Name of the role's session in Tencent's audit log. Left out, it is Airflow_ and the id of the connection.",
        check=Check(_matches(_SESSION_NAME), "2 to 128 letters, digits and characters of +=,.@_-"),
    ),
    ExtraField(
        "assume_role_duration",
        "Life of a role's key",
        f"Seconds that a key of the role lives, at most {LONGEST_DURATION}. It is renewed before it expires.",
        str(DEFAULT_DURATION),
        type="number",
        check=Check(duration_of, f"a whole number of seconds from 1 to {LONGEST_DURATION}"),
    ),
    ExtraField(
        "assume_role_external_id",
        "External id",
        "The text that the role's trust policy demands, if it demands one.",
        is_secret=True,
    ),
    ExtraField(
        "sts_endpoint",
        "STS endpoint",
        "The server that gives keys of roles. Left out, it is the one that belongs to the endpoint.",
    ),
)

OF_ONE_SOURCE: Mapping[str, tuple[str, ...]] = {
    "token": (CONNECTION,),
    "cam_role_name": (CVM_ROLE,),
    "profile": (PROFILE,),
    "credentials_file": (PROFILE,),
}
"""Fields that only some sources read."""

OF_A_ROLE: Mapping[str, tuple[str, ...]] = {
    "assume_role_session_name": (TKE_OIDC,),
    "assume_role_duration": (TKE_OIDC,),
    "assume_role_external_id": (),
}
"""Fields that belong to ``assume_role_arn``, each with the sources that read it without."""

KEY_GUARDS = {
    "token": "token",
    **{extra_field.name: extra_field.name for extra_field in KEY_FIELDS},
    **dict.fromkeys(("account", "accountid", "uin", "owner_uin"), "account_id"),
    **dict.fromkeys(("credentials_source", "key_source", "source"), "credential_source"),
    **dict.fromkeys(("role", "role_arn", "assume_role"), "assume_role_arn"),
    **dict.fromkeys(("role_name", "cam_role"), "cam_role_name"),
    **dict.fromkeys(("session_token", "security_token"), "token"),
    **{"external_id": "assume_role_external_id", "session_name": "assume_role_session_name", "sts": "sts_endpoint"},
}
"""Fields that decide whose key is used, by their names and by others that a user may give them."""


def key_mistakes(
    login: Any, password: Any, extra: Mapping[str, Any], endpoint: str, allowed_hosts: Collection[str]
) -> Iterator[str]:
    """
    Yield the mistakes in the key of a connection and in the fields about its source. No secret is shown.

    :param endpoint: The address of the API; empty if it has a mistake.
    :param allowed_hosts: Hosts beside Tencent's and this machine that may get signed requests.
    """
    yield from mistakes_in(extra, KEY_FIELDS)
    source = extra.get("credential_source") or CONNECTION
    if source in SOURCES:
        yield from _mistakes_of_source(str(source), login, password, extra)
    yield from _mistakes_of_role(extra)
    yield from _mistakes_of_sts(extra, endpoint, allowed_hosts)


def key_values(conn_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`~airflow_provider_tcbilling.hooks.key_settings.KeySettings` of a sound extra."""
    given = {field.name: extra[field.name] for field in KEY_FIELDS if is_given(extra.get(field.name))}
    return {
        "conn_id": conn_id,
        "credential_source": given.get("credential_source", CONNECTION),
        "cam_role_name": given.get("cam_role_name", ""),
        "profile": given.get("profile", ""),
        "credentials_file": given.get("credentials_file", ""),
        "assume_role_arn": given.get("assume_role_arn", ""),
        "assume_role_session_name": given.get("assume_role_session_name") or session_name_of(conn_id),
        "assume_role_duration": duration_of(given.get("assume_role_duration", DEFAULT_DURATION)),
        "assume_role_external_id": given.get("assume_role_external_id", ""),
        "sts_endpoint": cleaned(given["sts_endpoint"]) if "sts_endpoint" in given else "",
        "account_id": account_of(given["account_id"]) if "account_id" in given else "",
    }


def session_name_of(conn_id: str) -> str:
    """Return the name of a role's session that shows which connection it belongs to."""
    return re.sub(r"[^\w+=,.@-]", "_", f"Airflow_{conn_id}", flags=re.ASCII)[:MOST_ID]


def _mistakes_of_source(source: str, login: Any, password: Any, extra: Mapping[str, Any]) -> Iterator[str]:
    if source == CONNECTION:
        yield from _mistakes_of_key(login, password, extra.get("token"))
    elif given := [name for name, value in (("login", login), ("password", password)) if is_given(value)]:
        is_are = "are" if len(given) > 1 else "is"
        yield f"credential_source is {source}, and {' and '.join(given)} {is_are} given: leave one out"
    for name, sources in OF_ONE_SOURCE.items():
        if is_given(extra.get(name)) and source not in sources:
            yield f"extra {name} is for the source {' or '.join(sources)}, and credential_source is {source}"
    for name, sources in OF_A_ROLE.items():
        if is_given(extra.get(name)) and source not in sources and not is_given(extra.get("assume_role_arn")):
            yield f"extra {name} needs assume_role_arn, the role that it is about"


def _mistakes_of_key(login: Any, password: Any, token: Any) -> Iterator[str]:
    yield from text_mistakes("login (SecretId)", login)
    yield from text_mistakes("password (SecretKey)", password)
    if is_given(token):
        yield from text_mistakes("extra token", token)


def _mistakes_of_role(extra: Mapping[str, Any]) -> Iterator[str]:
    if is_given(secret := extra.get("assume_role_external_id")):
        yield from text_mistakes("extra assume_role_external_id", secret, "external id")
        if isinstance(secret, str) and len(secret) > MOST_ID:
            yield f"extra assume_role_external_id has more than {MOST_ID} characters"
    arn, account = extra.get("assume_role_arn"), extra.get("account_id")
    if not (is_given(arn) and isinstance(arn, str) and is_given(account) and AN_ACCOUNT.accepts(account)):
        return
    from airflow_provider_tcbilling.api.sts import account_in

    of_role, wanted = account_in(arn), account_of(account)
    if of_role not in ("", wanted):
        yield (
            f"extra assume_role_arn is an ARN of another account: its role is of {of_role}, and account_id is {wanted}"
        )


def _mistakes_of_sts(extra: Mapping[str, Any], endpoint: str, allowed_hosts: Collection[str]) -> Iterator[str]:
    if is_given(address := extra.get("sts_endpoint")):
        if isinstance(address, str) and address.isprintable():
            yield from address_mistakes("extra sts_endpoint", address, allowed_hosts)
        return
    if not endpoint or not (extra.get("assume_role_arn") or extra.get("credential_source") == TKE_OIDC):
        return
    from airflow_provider_tcbilling.api.sts import sts_endpoint_of

    if not sts_endpoint_of(endpoint):
        yield "extra sts_endpoint is missing: a role is assumed, and host does not show which STS belongs to it"


def text_mistakes(name: str, value: Any, what: str = "key") -> Iterator[str]:
    """Yield what is wrong with a part of a key, or another secret, without showing it."""
    if value is None or not str(value).strip():
        yield f"{name} is missing"
    elif not isinstance(value, str):
        yield f"{name} is not a text"
    elif value != value.strip():
        yield f"{name} has blanks around it"
    elif not re.fullmatch(r"[!-~]+", value):
        yield f"{name} holds characters that no {what} has"
