"""Deprecated: the names of this module are in ``purchasing.record`` and ``ledger.store`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "purchasing.record", "ledger.store")
