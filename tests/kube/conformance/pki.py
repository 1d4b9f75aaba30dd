"""Certificates made on the spot: an authority, one below it, a server's, a client's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "api.example"
"""The server's name; no name server knows it."""
CLIENT = "client-one"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True)
class Authority:
    """Files: what a client can be given, and what the servers use."""

    root: Path
    intermediate: Path
    leaf: Path
    """The server's own certificate, without its issuer's."""
    other: Path
    """An authority that has nothing to do with these."""
    client: Path
    client_key: Path
    server: Path
    """Key, certificate and the intermediate's."""
    unnamed: Path
    """A server's whose certificate has a common name only."""


def make(folder: Path) -> Authority:
    """All of them, in a folder."""
    root = issue("the root", None, ca=True)
    middle = issue("the intermediate", root, ca=True)
    names = [x509.DNSName(HOST), x509.DNSName("localhost"), x509.DNSName("other.example")]
    addresses = [x509.IPAddress(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1")]
    server = issue("the server", middle, names=[*names, *addresses])
    unnamed = issue(HOST, root)
    client = issue(CLIENT, root)

    def file(name: str, *parts: bytes) -> Path:
        path = folder / name
        path.write_bytes(b"".join(parts))
        return path

    return Authority(
        root=file("root.pem", root.pem),
        intermediate=file("intermediate.pem", middle.pem),
        leaf=file("leaf.pem", server.pem),
        other=file("other.pem", issue("another root", None, ca=True).pem),
        client=file("client.pem", client.pem),
        client_key=file("client.key", client.key_pem),
        server=file("server.pem", server.key_pem, server.pem, middle.pem),
        unnamed=file("unnamed.pem", unnamed.key_pem, unnamed.pem),
    )


def issue(
    name: str,
    issuer: Pair | None,
    *,
    ca: bool = False,
    names: list[x509.GeneralName] | None = None,
    until: datetime | None = None,
) -> Pair:
    """A certificate by `issuer`, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = until or datetime.now(timezone.utc) + timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(hours=2))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
