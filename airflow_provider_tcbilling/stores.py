"""Deprecated: the names of this module are in ``ledger.objects`` and ``ledger.task_state`` and ``ledger.store`` now."""

from airflow_provider_tcbilling._moved import forward

__getattr__ = forward(__name__, "ledger.objects", "ledger.task_state", "ledger.store", Ledger="ObjectStore")
