"""What is bought, as Python arguments and as the wire has it."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE

PARAMETER = {"productCode": "p_cloudfirewall", "subProductCode": "sp_cloudfirewall_svv1", "pid": 1002147, "goodsNum": 1}
PARAMETER |= {"timeSpan": 1, "timeUnit": "m", "sv_cloudfirewall_basic_aeps": 1, "sv_cloudfirewall_extended_clasps": 1}
ORDER: dict[str, Any] = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
    "pay_mode": "PrePay",
    "parameter": PARAMETER,
    "quantity": 1,
    "period": 1,
    "period_unit": "m",
    "renew_flag": "NOTIFY_AND_MANUAL_RENEW",
}
TEXT_ORDER = {**ORDER, "parameter": json.dumps(PARAMETER)}
WIRE_ORDER = {field.name: TEXT_ORDER[field.arg] for field in CREATE_INSTANCE.fields if field.arg in TEXT_ORDER}
