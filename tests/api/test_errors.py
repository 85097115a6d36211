"""Which error a code becomes, and what it says about another try and about the money."""

from __future__ import annotations

import pickle
import re

import pytest

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.error_codes import ERROR_CODES, CarriedOut, is_refusal
from airflow_provider_tcbilling.api.errors import (
    ApiError,
    AuthError,
    InsufficientBalance,
    PaidButNotDelivered,
    RateLimited,
    ServerFault,
    api_error,
)
from airflow_provider_tcbilling.purchasing import errors as purchase_errors
from airflow_provider_tcbilling.purchasing import money_errors
from airflow_provider_tcbilling.purchasing.approval import Question
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from tests.support.facts import ERRORS


@pytest.mark.parametrize(
    ("code", "cls", "transient", "ambiguous"),
    [
        ("AuthFailure.UnauthorizedOperation", AuthError, False, False),
        ("AuthFailure.SignatureExpire", AuthError, False, False),
        ("UnauthorizedOperation.CertificationNeedUpgrade", AuthError, False, False),
        ("UnauthorizedOperation.NotCertification", AuthError, False, False),
        ("FailedOperation.BalanceInsufficient", InsufficientBalance, False, False),
        ("FailedOperation.BusinessCheckErrCode", ApiError, False, False),
        ("FailedOperation.DistributeError", ApiError, False, False),
        ("FailedOperation.GetPriceParamError", ApiError, False, False),
        ("FailedOperation.InvalidDeal", ApiError, False, True),
        ("FailedOperation.InvalidGoodsCategoryId", ApiError, False, False),
        ("FailedOperation.NumLimitError", ApiError, False, False),
        ("FailedOperation.dealCreateWhitelistError", ApiError, False, False),
        ("InternalError", ServerFault, True, True),
        ("InternalError.InternalError", ServerFault, True, True),
        ("InvalidParameter", ApiError, False, False),
        ("InvalidParameter.ApiParamError", ApiError, False, False),
        ("InvalidParameter.InvalidParameter", ApiError, False, False),
        ("UnsupportedOperation", ApiError, False, False),
        ("UnsupportedOperation.NOT_SUPPORT_THIS_ACTION", ApiError, False, False),
        ("RequestLimitExceeded", RateLimited, True, False),
        ("RequestLimitExceeded.UinLimitExceeded", RateLimited, True, False),
        ("ResourceUnavailable", ServerFault, True, True),
        ("FailedOperation.PaySuccDeliverFailed", PaidButNotDelivered, False, True),
        ("FailedOperation", ApiError, False, True),
        ("FailedOperation.SomethingNew", ApiError, False, True),
        ("Whatever.New", ApiError, False, True),
        ("", ApiError, False, True),
    ],
)
def test_a_code_becomes_its_class(code, cls, transient, ambiguous):
    error = api_error("CreateInstance", {"Code": code, "Message": "words"}, "req-1")

    assert type(error) is cls
    assert (error.transient, error.ambiguous) == (transient, ambiguous)
    assert (error.code, error.message, error.request_id, error.action) == (code, "words", "req-1", "CreateInstance")


@pytest.mark.parametrize("row", ERROR_CODES.values(), ids=lambda row: row.code)
def test_the_class_of_a_code_and_the_table_say_the_same_of_the_money(row):
    error = api_error("CreateInstance", {"Code": row.code, "Message": "words"}, "req-1")

    assert type(error).__name__ == row.error
    assert error.ambiguous is (row.carried_out is not CarriedOut.NO)
    assert is_refusal(row.code) is (row.carried_out is CarriedOut.NO)


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("InvalidParameter.New", True),
        ("AuthFailure.SignatureFailure.New", True),
        ("FailedOperation.NumLimitError", True),
        ("FailedOperation.NumLimitError.New", False),
        ("FailedOperation.NotAllowToRefund", True),
        ("FailedOperation.BalanceInsufficient.New", False),
        ("FailedOperation.InvalidDeal", False),
        ("FailedOperation.InvalidDeal.New", False),
        ("InternalError.New", False),
        ("InvalidParameter.", False),
        ("", False),
    ],
)
def test_a_longer_code_than_a_described_one_is_a_refusal_only_where_its_whole_family_is(code, is_one):
    assert is_refusal(code) is is_one


def test_a_remedy_does_not_name_what_sends_the_request():
    texts = " ".join(f"{row.meaning} {row.remedy}" for row in ERROR_CODES.values())

    assert not re.search(r"\b(airflow|dag|task|clear)", texts, re.IGNORECASE)


ALL = list(ERRORS.values())
LIMIT = Limit("fleet", Window.MONTH, 1, "USD")
QUESTION = Question(
    code="7F3K",
    key="k",
    account="1",
    endpoint="http://127.0.0.1",
    action="CreateInstance",
    payload_shown={},
    max_cents=1,
    currency="USD",
    price_from="max_cents",
    generation=0,
    fingerprint="f",
    rules=ApprovalRules(0),
)
ARGUMENTS = {
    errors.InvalidRequest: ("CreateInstance", ["period: too long"]),
    errors.AnotherAccount: ("CreateInstance", "100000000002", "100000000001"),
    errors.DeliveryFailed: ("2026", "closed"),
    errors.DeliveryTimeout: ("2026", "delivering"),
    purchase_errors.LeftAlone: ("ins-1", "it is renewed already"),
    errors.RenewalNotSet: (["ins-1: 500 no"],),
    purchase_errors.InvalidRecord: ("s3://b/k.json", "it is not JSON"),
    purchase_errors.OrderNotRecorded: ("2026", "s3://b/k.json"),
    purchase_errors.OrderIsAnothers: ("2026", "another record"),
    purchase_errors.AccountChanged: ("s3://b/k.json", ("account: it was begun with account 1",)),
    purchase_errors.PurchaseChanged: ("s3://b/k.json", ("Period: it was 1, and is 2 now",)),
    purchase_errors.PurchaseOutcomeUnknown: (
        "two orders match",
        ("order 1", "order 2"),
        "s3://b/k.json",
        ("look", "clear"),
    ),
    purchase_errors.PurchaseCharged: ("paid, not delivered", (), "s3://b/k.json", ("call support",)),
    money_errors.PriceTooHigh: ("2.00 USD", "1.00 USD"),
    money_errors.PriceBlocked: ("2.00 USD", "2f0c6b1e"),
    money_errors.LimitReached: (LIMIT, 1, 2, 3),
    money_errors.AmountUnknown: (LIMIT, 1, 2, 3),
    money_errors.BalanceTooLow: ("1.00 USD", "2.00 USD", "3.00 USD"),
    money_errors.ApprovalNeeded: (QUESTION, "it has expired"),
    money_errors.ApprovalRefused: ("7F3K", "alice has refused it"),
    money_errors.QuestionOutdated: ("7F3K", "another option"),
}


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)
def test_errors_pickle_and_do_not_depend_on_airflow(cls):
    arguments = ARGUMENTS.get(cls) or (("A", "C.D", "m", "r") if issubclass(cls, ApiError) else ("text",))
    error = cls(*arguments)
    error.ambiguous = True

    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (cls, str(error), vars(error))
    assert all(base.__module__.startswith(("airflow_provider_tcbilling", "builtins")) for base in cls.__mro__)


def test_only_a_mistake_of_ours_is_a_value_error():
    assert [c.__name__ for c in ALL if issubclass(c, ValueError)] == ["InvalidRequest"]
