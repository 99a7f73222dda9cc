"""A certificate made on the spot, so that rows run over TLS as in use: checked, name and all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_TRUSTED = "SSL_CERT_FILE"  # where OpenSSL looks for whom to trust


@contextmanager
def trusted_certificate(*names: str) -> Iterator[Path]:
    """Key and certificate of 127.0.0.1, and of `names`, in one PEM file.

    This process trusts it meanwhile, and nobody else; so do the processes it starts.
    """
    before = os.environ.get(_TRUSTED)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "loopback.pem")
        file.write_bytes(_made(names))
        os.environ[_TRUSTED] = str(file)
        try:
            yield file
        finally:
            del os.environ[_TRUSTED]
            if before is not None:
                os.environ[_TRUSTED] = before


def _made(names: Iterable[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench_load")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    hosts = [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, names)]
    for extension, critical in (
        (x509.SubjectAlternativeName(hosts), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),  # it vouches for itself
        (_usage(), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
