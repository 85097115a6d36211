"""The Tencent Cloud Billing API, 2018-07-09, usable from a notebook."""
