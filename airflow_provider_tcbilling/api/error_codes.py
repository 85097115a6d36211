"""The table of Tencent's error codes: class, whether the request was carried out, meaning and remedy of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

CODE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
"""The form of an error code."""


class CarriedOut(str, Enum):
    """Whether the server carried out a request that it answered with an error code."""

    NO = "no"
    PERHAPS = "perhaps"
    YES = "yes"


@dataclass(frozen=True)
class ErrorCode:
    """
    One error code, or the first parts of several.

    :param code: The code; it stands for the longer codes that begin with it and a dot, too.
    :param error: Name of its class in :mod:`~airflow_provider_tcbilling.api.errors`.
    :param carried_out: Whether money may have moved.
    :param meaning: One sentence.
    :param remedy: The remedy for a user; empty if only the server's message names one.
    """

    code: str
    error: str = "ApiError"
    carried_out: CarriedOut = CarriedOut.NO
    meaning: str = "Refused."
    remedy: str = ""


_PERHAPS, _YES, _NO = CarriedOut.PERHAPS, CarriedOut.YES, CarriedOut.NO
_NO_PERMISSION = "The key works, but may not use the billing API."
_GRANT = "Grant it QCloudFinanceFullAccess, or for purchases the action finance:trade, in CAM."

_FAULT = "The server failed while it worked on the request: it may have been carried out."
_FAULTS = (
    *("InternalError", "InternalError.InternalError"),
    *("ResourceUnavailable", "ResponseSizeLimitExceeded", "ServiceUnavailable"),
)
_WRONG_PARAMETER = ("InvalidParameter", "InvalidParameter.ApiParamError", "InvalidParameter.InvalidParameter")
_UNSUPPORTED = ("UnsupportedOperation", "UnsupportedOperation.NOT_SUPPORT_THIS_ACTION")
_REFUSED = (
    *("ActionOffline", "InvalidAction", "InvalidParameterValue", "InvalidRequest", "IpInBlacklist"),
    *("IpNotInWhitelist", "LimitExceeded", "MissingParameter", "NoSuchProduct", "NoSuchVersion"),
    *("OperationDenied", "RequestSizeLimitExceeded", "ResourceInsufficient", "UnknownParameter"),
    *("UnsupportedProtocol", "UnsupportedRegion"),
)

_ROWS = (
    ErrorCode(
        "AuthFailure",
        "AuthError",
        meaning="Tencent refused the key.",
        remedy="Compare the SecretId, the SecretKey and the token with those of the console.",
    ),
    ErrorCode(
        "AuthFailure.SecretIdNotFound",
        "AuthError",
        meaning="Tencent does not know this SecretId here.",
        remedy="Look for a typing mistake, a deleted key, or the wrong site: keys of the international site work only "
        "at billing.intl.tencentcloudapi.com, those of the mainland site only at billing.tencentcloudapi.com (field "
        "Endpoint).",
    ),
    ErrorCode(
        "AuthFailure.SignatureExpire",
        "AuthError",
        meaning="The clock of this machine is wrong by more than five minutes.",
        remedy="Set it.",
    ),
    ErrorCode(
        "AuthFailure.SignatureFailure",
        "AuthError",
        meaning="The SecretKey does not belong to the SecretId.",
        remedy="Enter it again.",
    ),
    ErrorCode(
        "AuthFailure.TokenFailure",
        "AuthError",
        meaning="The session token has expired or belongs to another key.",
        remedy="Enter a new set of SecretId, SecretKey and token; for a permanent key leave the token empty.",
    ),
    ErrorCode("AuthFailure.UnauthorizedOperation", "AuthError", meaning=_NO_PERMISSION, remedy=_GRANT),
    ErrorCode(
        "FailedOperation.BalanceInsufficient",
        "InsufficientBalance",
        meaning="The account's balance is too low.",
        remedy="An unpaid order may stand in the console: cancel it, or it may be paid later.",
    ),
    ErrorCode("FailedOperation.BusinessCheckErrCode", meaning="The product itself refused the order."),
    ErrorCode("FailedOperation.DistributeError", meaning="A reseller restriction forbids the order."),
    ErrorCode(
        "FailedOperation.GetPriceParamError",
        meaning="No price could be found: Parameter or the product codes are wrong.",
    ),
    # Documented as a refusal. As the answer to a repeated request it can mean that an earlier try was paid.
    ErrorCode(
        "FailedOperation.InvalidDeal",
        "ApiError",
        _PERHAPS,
        "The order is in a state that cannot be paid; after a re-send: perhaps paid.",
    ),
    ErrorCode("FailedOperation.InvalidGoodsCategoryId", meaning="The order type is not valid."),
    # The next one and ReturnCommonError are described by the mainland SDK alone.
    ErrorCode("FailedOperation.NotAllowToRefund", meaning="This instance cannot be refunded."),
    ErrorCode("FailedOperation.NumLimitError", meaning="The quantity is above the limit."),
    ErrorCode(
        "FailedOperation.PaySuccDeliverFailed",
        "PaidButNotDelivered",
        _YES,
        "The money was taken and the delivery failed. Another try would pay again: call Tencent's support.",
    ),
    ErrorCode("FailedOperation.ReturnCommonError", meaning="The refund was refused."),
    ErrorCode(
        "FailedOperation.dealCreateWhitelistError",
        meaning="The account is not on the allow-list for this product.",
    ),
    ErrorCode(
        "RequestLimitExceeded",
        "RateLimited",
        _NO,
        "Too many requests in this second; the request was stopped before it reached the billing system.",
    ),
    ErrorCode("UnauthorizedOperation", "AuthError", meaning=_NO_PERMISSION, remedy=_GRANT),
    ErrorCode(
        "UnauthorizedOperation.CertificationNeedUpgrade",
        "AuthError",
        meaning="The account must complete its real-name information.",
        remedy="Complete it in the console.",
    ),
    ErrorCode(
        "UnauthorizedOperation.NotCertification",
        "AuthError",
        meaning="The account has no real-name authentication, so it cannot pay.",
        remedy="Complete it in the console.",
    ),
    *(ErrorCode(code, meaning="A parameter is wrong.") for code in _WRONG_PARAMETER),
    *(ErrorCode(code, meaning="Not supported for this product or account.") for code in _UNSUPPORTED),
    *(ErrorCode(code, "ServerFault", _PERHAPS, _FAULT) for code in _FAULTS),
    *map(ErrorCode, _REFUSED),
)

ERROR_CODES: Mapping[str, ErrorCode] = MappingProxyType(
    {row.code: row for row in sorted(_ROWS, key=lambda row: row.code.lower())}
)
"""All codes that are described: https://www.tencentcloud.com/document/api/555/77176, and the common ones of the API."""

EXPIRED_CODES = ("AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound", "AuthFailure.InvalidSecretId")
"""
The codes with which a server refuses a key that has expired, or was replaced. Which of them the real service takes is
not documented.
"""

UNDESCRIBED = ErrorCode("", carried_out=CarriedOut.PERHAPS, meaning="Not described.")
"""The row of every other code: the request may have been carried out."""


def row_of(code: str) -> ErrorCode:
    """Return the row of a code: the longest one that is the code, or its part before a dot."""
    while CODE.fullmatch(code):
        if code in ERROR_CODES:
            return ERROR_CODES[code]
        code = code.rpartition(".")[0]
    return UNDESCRIBED


def is_refusal(code: str) -> bool:
    """
    Whether a code is documented to mean that nothing was carried out.

    A longer code than a described one, such as ``FailedOperation.NumLimitError.New``, counts as a refusal only where
    its whole family does, such as ``InvalidParameter``.
    """
    family = code.partition(".")[0]
    row = row_of(code if code in ERROR_CODES else family) if CODE.fullmatch(code) else UNDESCRIBED
    return row.carried_out is CarriedOut.NO


def remedy_of(code: str) -> str:
    """Return the meaning of a code and what to do; empty if only the server's message tells that."""
    row = row_of(code)
    return f"{row.meaning} {row.remedy}" if row.remedy else ""
