"""Buy Tencent Cloud instances from Apache Airflow with real money, once per purchase, and wait for their delivery."""

from __future__ import annotations

__version__ = "0.2.0"
