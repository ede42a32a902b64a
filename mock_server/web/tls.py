"""TLS with a certificate of the user."""

from __future__ import annotations

import os
import ssl
from pathlib import Path


class CertificateError(Exception):
    """A certificate or a key that cannot be used; the text names the file."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS settings of a server.

    Args:
        certificate: The certificate in PEM, followed by its chain.
        key: The private key in PEM, not encrypted.

    Raises:
        CertificateError: One of the files cannot be used.
    """
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    except OSError as error:
        log = os.environ.get("SSLKEYLOGFILE", "")
        raise CertificateError(f"{log}: cannot be written (SSLKEYLOGFILE): {error.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=str)  # otherwise OpenSSL would prompt for a password
    except ssl.SSLError as error:
        raise CertificateError(_problem(certificate, key, error)) from None
    return context


def _problem(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key}: is not the key of the certificate in {certificate}"
    if "ENCRYPTED" in key.read_text("latin-1"):
        return f"{key}: is encrypted; `openssl pkey -in KEY -out PLAIN` writes one that is not"
    return f"{certificate} and {key}: must be a certificate and its private key in PEM"
