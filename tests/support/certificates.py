"""A hospital's own certificate authority, and certificates of servers that it signs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mrseg_label.clock import now


def write_pem(path: Path, content: bytes) -> Path:
    """Write a file, and return its path."""
    path.write_bytes(content)
    return path


def private(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as PEM, without a password."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def make_authority(folder: Path, names: Sequence[x509.GeneralName]) -> tuple[Path, Path, Path]:
    """Make an authority, and a server's certificate for some names with its key: three PEM files."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    subjects = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("Hospital CA", "mrseg")]
    start, end = now() - timedelta(hours=1), now() + timedelta(hours=1)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, ca: bool) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(subjects[0], subject, public, x509.random_serial_number(), start, end)
        return builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)

    root = certificate(subjects[0], root_key.public_key(), True).sign(root_key, hashes.SHA256())
    alternative = x509.SubjectAlternativeName(names)
    server = certificate(subjects[1], key.public_key(), False).add_extension(alternative, critical=False)
    pem = serialization.Encoding.PEM
    return (
        write_pem(folder / "ca.pem", root.public_bytes(pem)),
        write_pem(folder / "server.pem", server.sign(root_key, hashes.SHA256()).public_bytes(pem)),
        write_pem(folder / "server.key", private(key)),
    )
