"""Tencent's error codes: what they mean, and which of them say for sure that nothing was carried out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "AuthFailure.UnauthorizedOperation": "The key may not do this: grant it the action's permission in CAM.",
        "FailedOperation.BalanceInsufficient": "The account balance is too low.",
        "FailedOperation.BusinessCheckErrCode": "The product itself refused the order.",
        "FailedOperation.DistributeError": "A reseller restriction forbids the order.",
        "FailedOperation.GetPriceParamError": "No price could be found: Parameter or the product codes are wrong.",
        "FailedOperation.InvalidDeal": "The order is in a state that cannot be paid; after a re-send: perhaps paid.",
        "FailedOperation.InvalidGoodsCategoryId": "The order type is not valid.",
        "FailedOperation.NumLimitError": "The quantity is above the limit.",
        "FailedOperation.dealCreateWhitelistError": "The account is not on the allow-list for this product.",
        "InternalError": "The server failed. The request may have been carried out.",
        "InternalError.InternalError": "The server failed. The request may have been carried out.",
        "InvalidParameter": "A parameter is wrong.",
        "InvalidParameter.ApiParamError": "A parameter is wrong.",
        "InvalidParameter.InvalidParameter": "A parameter is wrong.",
        "UnauthorizedOperation.CertificationNeedUpgrade": "The account must complete its real-name information.",
        "UnauthorizedOperation.NotCertification": "The account has no real-name authentication, so it cannot pay.",
        "UnsupportedOperation": "Not supported for this product or account.",
        "UnsupportedOperation.NOT_SUPPORT_THIS_ACTION": "Not supported for this product or account.",
    }
)
"""The error codes that the CreateInstance page lists (https://www.tencentcloud.com/document/api/555/77176)."""

NOT_REFUNDED = frozenset({"FailedOperation.NotAllowToRefund", "FailedOperation.ReturnCommonError"})
"""Codes of a refused refund, described by the mainland SDK alone."""


REFUSALS = frozenset(
    {
        "ActionOffline",
        "AuthFailure",
        "InvalidAction",
        "InvalidParameter",
        "InvalidParameterValue",
        "InvalidRequest",
        "IpInBlacklist",
        "IpNotInWhitelist",
        "LimitExceeded",
        "MissingParameter",
        "NoSuchProduct",
        "NoSuchVersion",
        "OperationDenied",
        "RequestLimitExceeded",
        "RequestSizeLimitExceeded",
        "ResourceInsufficient",
        "UnauthorizedOperation",
        "UnknownParameter",
        "UnsupportedOperation",
        "UnsupportedProtocol",
        "UnsupportedRegion",
    }
)
"""First parts of error codes that mean: refused, nothing was carried out."""

PERHAPS_DONE = frozenset({"FailedOperation.InvalidDeal"})
"""Documented as refusals, but said of a repeat they can mean that an earlier try was paid."""
