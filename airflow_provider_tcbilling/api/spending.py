"""Deprecated: the names of this module are in ``purchasing.money_action`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "purchasing.money_action", Spending="MoneyAction", Sighting="Evidence")
