"""``python -m airflow_provider_tcbilling.sandbox``: the sandbox from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from urllib.parse import quote

from airflow_provider_tcbilling.sandbox.rules import Rules, add_arguments


def main(arguments: list[str] | None = None) -> int:
    """Run a sandbox until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_tcbilling.sandbox",
        description="A local, stateful Tencent Cloud billing API. No account, no money.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one (%(default)s)")
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    rules = Rules(**{f.name: getattr(chosen, f.name) for f in fields(Rules) if hasattr(chosen, f.name)})
    try:
        from airflow_provider_tcbilling.sandbox.machine import Sandbox
        from airflow_provider_tcbilling.sandbox.server import listening_socket, server_of
    except ModuleNotFoundError as error:
        print(f"The sandbox needs {error.name}: pip install 'airflow-provider-tcbilling[sandbox]'", file=sys.stderr)
        return 1
    try:
        listener = listening_socket(chosen.host, chosen.port)
    except OSError as error:
        print(f"Cannot listen on {chosen.host}:{chosen.port}: {error.strerror}", file=sys.stderr)
        return 1
    with listener:
        print(greeting(rules, f"http://{chosen.host}:{listener.getsockname()[1]}"), flush=True)
        server_of(Sandbox(rules)).run(sockets=[listener])
    return 0


def greeting(rules: Rules, url: str) -> str:
    """Return what a person needs to use the sandbox: its page, and the Airflow connection in both notations."""
    connection = {"conn_type": "tcbilling", "host": url, "login": rules.secret_id, "password": rules.secret_key}
    uri = f"tcbilling://{quote(rules.secret_id, safe='')}:{quote(rules.secret_key, safe='')}@{quote(url, safe='')}"
    if rules.session_token:
        connection["extra"] = json.dumps({"token": rules.session_token})
        uri += f"/?token={quote(rules.session_token, safe='')}"
    return "\n".join(
        [
            "Tencent Cloud billing sandbox: a stand-in, no account, no money.",
            f"  page             {url}/",
            f"  connection URI   export AIRFLOW_CONN_TCBILLING_DEFAULT='{uri}'",
            f"  connection JSON  export AIRFLOW_CONN_TCBILLING_DEFAULT='{json.dumps(connection)}'",
            "Stop it with Ctrl-C.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
