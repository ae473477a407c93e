"""Certificates for servers of tests."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def untrusted(folder: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 of an unknown authority."""
    name = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return _server_context(_certificate_and_key(folder, name))


def without_host_name(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate without a host name, as Memorystore's may be, and the file with its authority."""
    file = _certificate_and_key(folder, x509.BasicConstraints(ca=True, path_length=None))
    return _server_context(file), file


def client(folder: Path, password: str = "") -> Path:
    """A client's certificate with its key in one file."""
    return _certificate_and_key(folder, x509.BasicConstraints(ca=True, path_length=None), password)


def _certificate_and_key(folder: Path, extension: x509.ExtensionType, password: str = "") -> Path:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def _server_context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
