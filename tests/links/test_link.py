"""The button that leads to the order."""

from __future__ import annotations

from unittest import mock

import pytest

from airflow_provider_tcbilling.get_provider_info import get_provider_info
from airflow_provider_tcbilling.links.console import OrderConsoleLink
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from tests.conftest import ORDER


@pytest.mark.parametrize(("stored", "shown"), [("https://console.tencentcloud.com/expense/deal",) * 2, (None, "")])
def test_it_shows_the_address_that_the_task_left(stored, shown):
    with mock.patch(
        "airflow_provider_tcbilling.links.console.XCom.get_value", autospec=True, return_value=stored
    ) as get:
        link = OrderConsoleLink().get_link(mock.sentinel.operator, ti_key=mock.sentinel.key)

    assert link == shown
    get.assert_called_once_with(key="console_link", ti_key=mock.sentinel.key)


@pytest.mark.parametrize("stored", ["javascript:alert(1)", "https://a.example.com\n", "\x1b[2J", "data:text/html,x"])
def test_it_shows_no_text_that_is_no_address(stored):
    with mock.patch("airflow_provider_tcbilling.links.console.XCom.get_value", return_value=stored):
        assert OrderConsoleLink().get_link(mock.sentinel.operator, ti_key=mock.sentinel.key) == ""


def test_the_operator_has_it_and_airflow_may_load_it():
    task = CreateInstanceOperator(task_id="buy", **ORDER)

    assert [type(link) for link in task.operator_extra_links] == [OrderConsoleLink]
    assert get_provider_info()["extra-links"] == [f"{OrderConsoleLink.__module__}.{OrderConsoleLink.__qualname__}"]


def test_a_worker_does_not_look_into_an_xcom_that_may_not_be_there(connection, context):
    task = CreateInstanceOperator(task_id="buy", **ORDER)
    with mock.patch("airflow_provider_tcbilling.links.console.XCom.get_value", side_effect=AssertionError):
        assert OrderConsoleLink().get_link(task, ti_key=mock.sentinel.key) == ""
        order = task.execute(context)
        assert OrderConsoleLink().get_link(task, ti_key=mock.sentinel.key).endswith(f"#{order['order_id']}")
