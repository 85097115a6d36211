"""
A proxy of this machine, with which a sandbox can be reached as ``https://billing.intl.tencentcloudapi.com``.

It forwards plain HTTP (absolute form) and opens tunnels (CONNECT). Whatever name it is asked for, the sandbox answers:
the end of a tunnel speaks TLS with a certificate that is made at run time, and passes every byte on as it came. So a
connection that the sandbox drops, resets or cuts is dropped, reset or cut for the client, too.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import select
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ("*.tencentcloudapi.com", "*.intl.tencentcloudapi.com", "localhost")
"""What the certificate is valid for."""

ABSOLUTE_FORM = re.compile(rb"\A([A-Z]+) http://[^/ ]+(/?[^ ]*)")
_HEAD_END = b"\r\n\r\n"
_DAY = datetime.timedelta(days=1)


@dataclass
class Proxy:
    """
    A proxy that runs.

    :param url: Its address.
    :param ca_file: The certificate to trust.
    :param refusal: Status line with which every CONNECT is refused; empty opens the tunnel.
    :param targets: What it was asked for: ``CONNECT host:port``, or the request line.
    """

    url: str
    ca_file: str
    refusal: str = ""
    targets: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that reaches the API by it."""
        proxies = {"http_proxy": self.url, "https_proxy": self.url, "all_proxy": "", "no_proxy": ""}
        upper = {name.upper(): value for name, value in proxies.items()}
        return {**proxies, **upper, "REQUESTS_CA_BUNDLE": self.ca_file, "CURL_CA_BUNDLE": ""}


@contextlib.contextmanager
def running_proxy(sandbox_url: str, folder: Path, *, refusal: str = "") -> Iterator[Proxy]:
    """
    Run a proxy to a sandbox, in threads of this process.

    :param folder: Where the certificates are stored.
    :param refusal: Status line with which every CONNECT is refused, such as ``407 Proxy Authentication Required``.
    """
    address = urlsplit(sandbox_url)
    ca_file, chain_file = make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain_file)
    with _Server(("127.0.0.1", 0), _Client) as server:
        server.upstream = (address.hostname, address.port)
        server.context = context
        server.proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}", str(ca_file), refusal)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.proxy
        finally:
            server.shutdown()


@contextlib.contextmanager
def running_tls(sandbox_url: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a sandbox as ``https://localhost:port`` without a proxy; return the address and the CA's file."""
    address = urlsplit(sandbox_url)
    ca_file, chain_file = make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain_file)
    with _Server(("127.0.0.1", 0), _TlsClient) as server:
        server.upstream, server.context = (address.hostname, address.port), context
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"https://localhost:{server.server_address[1]}", str(ca_file)
        finally:
            server.shutdown()


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Make a certificate authority, and a key with its certificate for :data:`NAMES`; return the files of both."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox of airflow-provider-tcbilling")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    own_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        _certificate(name, name, ca_key.public_key())
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(own_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        _certificate(subject, name, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    ca_file, chain_file = folder / "ca.pem", folder / "chain.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    chain_file.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
    return ca_file, chain_file


def _certificate(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), now - _DAY, now + _DAY)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    upstream: Any
    context: ssl.SSLContext
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that connections break is what this is for."""


class _Client(socketserver.BaseRequestHandler):
    """One connection of a client."""

    server: _Server

    def handle(self) -> None:
        head = _head(self.request)
        line = head.partition(b"\r\n")[0].decode("latin-1")
        self.server.proxy.targets.append(line.rpartition(" ")[0])
        if not line.startswith("CONNECT "):
            self.relay(self.request, head)
        elif self.server.proxy.refusal:
            self.request.sendall(f"HTTP/1.1 {self.server.proxy.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.relay_tls()

    def relay_tls(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as client:
            self.relay(client, b"")

    def relay(self, client: socket.socket, received: bytes) -> None:
        """Pass requests on, in origin form, and answers back byte by byte; end as the sandbox ends."""
        with socket.create_connection(self.server.upstream) as upstream:
            for end in (client, upstream):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            received = _forward(received, upstream)
            while True:
                waiting = isinstance(client, ssl.SSLSocket) and client.pending()
                ready = [client] if waiting else select.select([client, upstream], [], [])[0]
                if upstream in ready and not _answered(upstream, client):
                    return
                if client in ready:
                    more = client.recv(2**16)
                    if not more:
                        return
                    received = _forward(received + more, upstream)


class _TlsClient(_Client):
    """One connection of a client that speaks TLS at once."""

    def handle(self) -> None:
        self.relay_tls()


def _head(client: socket.socket) -> bytes:
    received = b""
    while _HEAD_END not in received:
        more = client.recv(2**16)
        if not more:
            raise ConnectionError("the client has gone")
        received += more
    return received


def _forward(received: bytes, upstream: socket.socket) -> bytes:
    """Send the whole requests of what was received; return the rest."""
    while _HEAD_END in received:
        head, _, rest = received.partition(_HEAD_END)
        told = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
        length = int(told[1]) if told else 0
        if len(rest) < length:
            break
        upstream.sendall(ABSOLUTE_FORM.sub(_origin_form, head) + _HEAD_END + rest[:length])
        received = rest[length:]
    return received


def _origin_form(match: re.Match[bytes]) -> bytes:
    return match[1] + b" " + (match[2] or b"/")


def _answered(upstream: socket.socket, client: socket.socket) -> bool:
    """Pass a part of an answer on; return False at its end, after a reset with a reset."""
    try:
        part = upstream.recv(2**16)
    except ConnectionResetError:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        return False
    client.sendall(part)
    return bool(part)
