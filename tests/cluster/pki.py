"""Certificates and kubeconfigs: one authority per cluster, clients known by certificate.

Keys are elliptic-curve ones because they are made in a millisecond, and a start makes a dozen.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_NAMES = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
]
SERVER_ADDRESSES = ["127.0.0.1", "10.96.0.1"]


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class Authority:
    """The certificate authority of one cluster, kept in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca_file = directory / "ca.crt"
        self._ca_key_file = directory / "ca.key"

    def make(self) -> None:
        """Make the authority, the key that signs ServiceAccount tokens and the server's pair."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubectl-fluidmodel test CA")])
        certificate = (
            self._builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._write("ca", certificate, key)
        account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._secret_file("sa.key", _pem(account))
        public = account.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.directory / "sa.pub").write_bytes(public)
        self.issue("server", "kube-apiserver", server=True)
        self.issue("kubelet", "kube-apiserver-kubelet-client", ["system:masters"])

    def issue(
        self, stem: str, common_name: str, groups: list[str] | None = None, server: bool = False
    ) -> tuple[Path, Path]:
        """Make (once) a certificate and key called ``stem``; returns their paths."""
        crt, key_path = self.directory / f"{stem}.crt", self.directory / f"{stem}.key"
        if crt.exists() and key_path.exists():
            return crt, key_path
        ca = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
        ca_key = serialization.load_pem_private_key(self._ca_key_file.read_bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups or []]
            + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        )
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if server:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = self._builder(subject, ca.subject, key.public_key()).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if server:
            names: list[x509.GeneralName] = [x509.DNSName(each) for each in SERVER_NAMES]
            names += [x509.IPAddress(ipaddress.ip_address(each)) for each in SERVER_ADDRESSES]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self._write(stem, builder.sign(ca_key, hashes.SHA256()), key)
        return crt, key_path

    def kubeconfig(
        self,
        path: Path,
        server: str,
        user: str,
        groups: list[str] | None = None,
        namespace: str = "default",
    ) -> Path:
        """Write a kubeconfig of a client certificate for ``user``; it needs no other file."""
        crt, key = self.issue(f"client-{path.stem}", user, groups)

        def data(source: Path) -> str:
            return base64.b64encode(source.read_bytes()).decode()

        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fluidmodel",
            "clusters": [
                {
                    "name": "fluidmodel",
                    "cluster": {"server": server, "certificate-authority-data": data(self.ca_file)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": data(crt),
                        "client-key-data": data(key),
                    },
                }
            ],
            "contexts": [
                {
                    "name": "fluidmodel",
                    "context": {"cluster": "fluidmodel", "user": user, "namespace": namespace},
                }
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))
        return path

    @staticmethod
    def _builder(
        subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
        )

    def _write(
        self, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (self.directory / f"{stem}.crt").write_bytes(pem)
        self._secret_file(f"{stem}.key", _pem(key))

    def _secret_file(self, name: str, content: bytes) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_bytes(content)
