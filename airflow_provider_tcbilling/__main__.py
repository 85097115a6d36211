"""``python -m airflow_provider_tcbilling``: explain a purchase, settle it, or list all of them."""

import sys

from airflow_provider_tcbilling.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
