"""Deprecated: the names of this module are in ``purchasing.new_instance`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "purchasing.new_instance")
