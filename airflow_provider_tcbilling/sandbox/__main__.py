"""``python -m airflow_provider_tcbilling.sandbox``: the sandbox from the command line."""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from dataclasses import fields
from urllib.parse import quote

from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.limits import Range
from airflow_provider_tcbilling.sandbox.options import Options, add_arguments, reader_of
from airflow_provider_tcbilling.sandbox.profile_file import write_profile

PORTS = Range(0, 65_535, is_whole=True)


def main(arguments: list[str] | None = None) -> int:
    """Run a sandbox until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_tcbilling.sandbox",
        description="A local, stateful Tencent Cloud billing API. No account, no money.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=reader_of(PORTS), default=8765, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="one more host name by which browsers and control calls may reach it; can be repeated",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="speak https with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="the certificate's key (PEM)")
    parser.add_argument("--write-profile", metavar="FILE", help="write the keys of both accounts to a profile file")
    add_arguments(parser)
    chosen = parser.parse_args(arguments)
    try:
        options = Options(**{f.name: getattr(chosen, f.name) for f in fields(Options) if hasattr(chosen, f.name)})
    except WrongControl as error:
        parser.error(str(error))
    try:
        from airflow_provider_tcbilling.sandbox.browser_guard import Hosts
        from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
        from airflow_provider_tcbilling.sandbox.server import address_of, listening_socket, server_of
    except ModuleNotFoundError as error:
        print(f"The sandbox needs {error.name}: pip install 'airflow-provider-tcbilling[sandbox]'", file=sys.stderr)
        return 1
    tls = (chosen.tls_cert, chosen.tls_key) if chosen.tls_cert or chosen.tls_key else None
    if tls and (mistake := _mistake_in(*tls)):
        print(mistake, file=sys.stderr)
        return 1
    try:
        hosts = Hosts.of(chosen.host, chosen.allow_host)
    except ValueError as error:
        print(f"--allow-host {error}", file=sys.stderr)
        return 1
    if chosen.write_profile and (mistake := write_profile(chosen.write_profile, options)):
        print(mistake, file=sys.stderr)
        return 1
    try:
        listener = listening_socket(chosen.host, chosen.port)
    except OSError as error:
        print(f"Cannot listen on {chosen.host}:{chosen.port}: {error.strerror}", file=sys.stderr)
        return 1
    if not hosts.is_local:
        print(OPEN, file=sys.stderr, flush=True)
    with listener:
        print(greeting(options, address_of(listener, chosen.host, is_tls=bool(tls))), flush=True)
        server_of(Sandbox(options), hosts, tls).run(sockets=[listener])
    return 0


OPEN = (
    "Warning: other machines can reach this sandbox. It has no password: any of them can read its orders, "
    "set faults, move its clock and reset it. Without --tls-cert, everything travels unencrypted."
)
"""The warning on the error output when it listens on more than this machine."""


def _mistake_in(certificate: str | None, key: str | None) -> str:
    """Return in words why a certificate cannot be used; the server would show a traceback."""
    if not certificate or not key:
        return "Give both, --tls-cert and --tls-key."
    try:
        # Without a password, OpenSSL would ask for one in the terminal.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except OSError as error:
        return f"Cannot use the certificate {certificate} with the key {key}: {error.strerror or error}"
    return ""


def greeting(options: Options, url: str) -> str:
    """Return the lines that a user needs: the address of the page, and the Airflow connection in both notations."""
    role = options.role_of_machine
    connection = {"conn_type": "tcbilling", "host": url, "login": options.secret_id, "password": options.secret_key}
    uri = f"tcbilling://{quote(options.secret_id, safe='')}:{quote(options.secret_key, safe='')}@{quote(url, safe='')}"
    if options.session_token:
        connection["extra"] = json.dumps({"token": options.session_token})
        uri += f"/?token={quote(options.session_token, safe='')}"
    return "\n".join(
        [
            "Tencent Cloud billing sandbox: a stand-in, no account, no money.",
            f"  page             {url}/",
            f"  connection URI   export AIRFLOW_CONN_TCBILLING_DEFAULT='{uri}'",
            f"  connection JSON  export AIRFLOW_CONN_TCBILLING_DEFAULT='{json.dumps(connection)}'",
            f"  STS              {url}, for {', '.join(options.roles_by_arn)}",
            f"  metadata service {url}, with keys of {role.name if role else 'no role'}",
            "Stop it with Ctrl-C.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
