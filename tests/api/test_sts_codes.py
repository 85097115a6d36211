"""The codes of STS: each has a remedy, and none speaks of another service's permission."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.error_codes import CODE
from airflow_provider_tcbilling.api.sts_codes import STS_REMEDIES, remedy_of


@pytest.mark.parametrize("code", ["", "...", "NoSuchCode", "no code at all", "FailedOperation.BalanceInsufficient"])
def test_a_code_that_is_not_in_the_table_has_no_remedy(code):
    assert remedy_of(code) == ""


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AuthFailure.UnauthorizedOperation"])
def test_a_refused_principal_is_not_sent_to_grant_a_permission_of_billing(code):
    assert "sts:AssumeRole" in remedy_of(code)
    assert "finance" not in remedy_of(code)


def test_a_longer_code_has_the_remedy_of_its_family():
    assert remedy_of("InternalError.SystemError") == STS_REMEDIES["InternalError"]
    assert remedy_of("InternalError.GetRoleError") != STS_REMEDIES["InternalError"]
    assert remedy_of("UnauthorizedOperation.New") == STS_REMEDIES["UnauthorizedOperation"]


def test_a_code_about_a_key_means_the_same_as_at_the_billing_api():
    assert "Set it" in remedy_of("AuthFailure.SignatureExpire")


def test_every_row_is_a_code_with_a_sentence():
    assert all(CODE.fullmatch(code) for code in STS_REMEDIES)
    assert all(remedy.endswith(".") for remedy in STS_REMEDIES.values())
