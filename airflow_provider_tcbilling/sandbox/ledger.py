"""Deprecated: the names of this module are in ``sandbox.account`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "sandbox.account", Ledger="Account")
