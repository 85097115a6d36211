"""The compressed form in which a database holds the text of a record: zlib with a dictionary."""

from __future__ import annotations

import zlib

DICTIONARY = b"""\
FailedOperation "a user, sp_ p_ scheduled__ manual__2026-2027-T00:00:00+00:00\\", \\", -1]",
"RenewInstance" "RefundInstance" "declined" "intended" "charged" "refused" "ordered" true [] CNY
{
  "format": "airflow-provider-tcbilling purchase",
  "version": 2,
  "key": "[\\"
  "client_token": "
  "generation": 0,
  "fingerprint": "hmac-sha256:
  "endpoint": "https://billing.tencentcloudapi.com",
  "endpoint": "https://billing.intl.tencentcloudapi.com",
  "action": "CreateInstance",
  "state": "delivered",
  "owner": "
  "intended_at": "2026-
  "sending_until": "2026-
  "replay_until": "2026-
  "changed_at": "2026-
  "payload": {
    "InstanceId": "
    "RenewFlag": "NOTIFY_AND_AUTO_RENEW",
    "ProductCode": "p_
    "SubProductCode": "sp_
    "RegionCode": "ap-guangzhou",
    "ZoneCode": "ap-guangzhou-
    "PayMode": "PrePay",
    "Parameter": "{\\"pid\\":1002147,\\"timeSpan\\":1,\\"timeUnit\\":\\"m\\"}",
    "Quantity": 1,
    "ProjectId": 0,
    "Period": 1,
    "PeriodUnit": "m"
  },
  "placed_by": {
    "dag_id": "
    "run_id": "scheduled__
    "task_id": "
    "map_index": -1,
    "loop_index": null,
    "try_number": 1
  },
  "before": {},
  "reason": "",
  "order_id": "2026
  "order_id": null,
  "request_id": null,
  "request_id": "
  "instance_ids": [
    "ins-
  ],
  "paid_cents": null,
  "paid_cents": 10000,
  "currency": null,
  "currency": "USD",
  "key_id": "
  "account": "",
  "is_resent": false,
  "is_checked": false,
  "twins": []
}
"""
"""Texts of usual records. **Never change it**: what was compressed with it can be read with it alone."""

LEVEL = 6


def compressed(text: str) -> bytes:
    """Return the form of a text that is stored."""
    press = zlib.compressobj(LEVEL, zdict=DICTIONARY)
    return press.compress(text.encode()) + press.flush()


def expanded(stored: bytes) -> str:
    """
    Return the text of a stored form.

    :raises ValueError: It is damaged.
    """
    reader = zlib.decompressobj(zdict=DICTIONARY)
    try:
        text = reader.decompress(stored) + reader.flush()
    except zlib.error as error:
        raise ValueError(f"it cannot be expanded: {error}") from None
    if not reader.eof or reader.unused_data:
        raise ValueError("it is cut off, or longer than it was")
    return text.decode()
