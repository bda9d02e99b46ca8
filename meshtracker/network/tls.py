"""TLS of the link: the hub's own certificate, and the contexts of both ends.

A hub makes a self-signed certificate for itself. Leaves do not check who signed it: the proof of the mesh password
covers the certificate that the leaf saw, so one from somebody in the middle ends the link (see `link.authentication`).
"""

from __future__ import annotations

import datetime as dt
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshtracker.errors import StartError

CERTIFICATE_FILE = "link-certificate.pem"
KEY_FILE = "link-key.pem"
_VALID_DAYS = 36_500
"""Nobody checks the dates of a certificate that the password vouches for; an end of them could only break a mesh."""


def make_certificate(name: str, today: dt.datetime) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=_VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


def own_certificate(state_dir: Path, name: str, today: dt.datetime) -> tuple[Path, Path]:
    """Files of this node's certificate and key in ``state_dir``, made at the first start. Raises `StartError`."""
    certificate_file, key_file = state_dir / CERTIFICATE_FILE, state_dir / KEY_FILE
    try:
        if not (certificate_file.exists() and key_file.exists()):
            certificate, key = make_certificate(name, today)
            _write_private(key_file, key)
            _write_private(certificate_file, certificate)
    except OSError as error:
        raise StartError(f"node.state_dir {state_dir}: {error.strerror}") from error
    return certificate_file, key_file


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)


def server_context(certificate_file: Path, key_file: Path) -> tuple[ssl.SSLContext, bytes]:
    """The listener's context, and its certificate as DER. Raises `StartError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate_file, key_file)
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(certificate_file.read_text()))
    except (OSError, ValueError) as error:
        pair = f"link.certificate_file {certificate_file}, link.key_file {key_file}"
        # OpenSSL's own words ("PEM lib") say nothing to an operator.
        if isinstance(error, ssl.SSLError | ValueError):
            raise StartError(f"{pair}: not a certificate and its key (PEM)") from error
        raise StartError(f"{pair}: {error.strerror}") from error
    return context, der


def _first_certificate(pem: str) -> str:
    """A chain file begins with the certificate of the server itself."""
    end = "-----END CERTIFICATE-----"
    head, found, _ = pem.partition(end)
    if not found:
        raise ValueError("holds no certificate")
    return head[head.index("-----BEGIN CERTIFICATE-----") :] + end + "\n"


def unsaved_server_context(name: str, today: dt.datetime) -> tuple[ssl.SSLContext, bytes]:
    """The same with a certificate that lives as long as the process, for a node that keeps nothing on disk."""
    # ssl reads certificates from files only.
    with tempfile.TemporaryDirectory(prefix="meshtracker-") as folder:
        return server_context(*own_certificate(Path(folder), name, today))


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """The dialer's context; with ``ca_file`` the hub's certificate must be signed for its name as well."""
    if ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=str(ca_file))
        except ssl.SSLError as error:
            raise StartError(f"link.ca_file {ca_file}: no certificates in it (PEM)") from error
        except OSError as error:
            raise StartError(f"link.ca_file {ca_file}: {error.strerror}") from error
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
