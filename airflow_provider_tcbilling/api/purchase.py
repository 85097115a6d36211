"""Deprecated: the names of this module are in ``purchasing.key`` and ``purchasing.purchase`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "purchasing.key", "purchasing.purchase")
