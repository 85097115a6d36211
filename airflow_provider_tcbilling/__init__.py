"""Buy, wait for, renew and refund Tencent Cloud instances from Apache Airflow: with real money, exactly once."""

from __future__ import annotations

__version__ = "0.1.0"
