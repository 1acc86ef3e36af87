"""Certificates, as paths of PEM files, which are reloaded without a restart.

A server checks its files before each handshake, a client before a call, at most once a second. Files that can't be
used, such as a new certificate next to the old key, are logged and ignored until they are valid.
"""

import ssl
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import structlog

from headrace.chassis.settings import USAGE_ERROR
from headrace.chassis.tls.watched_files import Signature, file_signature

log = structlog.get_logger()


class CertificatesError(Exception):
    """Files that aren't certificates, or don't match; the text says which and why."""


@dataclass(frozen=True)
class ServerTls:
    """A server's certificate, and the authority of the client certificates it accepts (mTLS), if any."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All paths."""
        return _named(self.certificate, self.key, self.client_ca)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Reads the files, and checks that they match.

        Raises:
            CertificatesError: A file can't be read or is invalid, the key belongs to another certificate, or the files
                are being replaced at this moment.
        """
        before = file_signature(*self.files)
        certificate, key = _read(self.certificate), _read(self.key)
        client_ca = _read(self.client_ca) if self.client_ca else None
        _check_pair(self.certificate, self.key)
        if self.client_ca and client_ca is not None:
            _check_authorities(self.client_ca, client_ca)
        _require_unchanged(before, self.files)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=client_ca)

    def credentials(self) -> grpc.ServerCredentials:
        """Reads the files now, and again whenever they have changed.

        Raises:
            CertificatesError: The files can't be used.
        """
        first = file_signature(*self.files)
        fetch: Any = _Renewal(self, first).fetch  # gRPC's types don't say that it may return None
        return grpc.dynamic_ssl_server_credentials(
            self.read(), fetch, require_client_authentication=self.client_ca is not None
        )


class _Renewal:
    """Called by gRPC before each handshake, from one of gRPC's threads."""

    def __init__(self, tls: ServerTls, known: Signature) -> None:
        self._tls = tls
        self._known = known
        self._lock = threading.Lock()

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns the files' current contents, or None if they haven't changed."""
        with self._lock:
            now = file_signature(*self._tls.files)
            if now == self._known:
                return None
            try:
                renewed = self._tls.read()
            except CertificatesError as refused:
                # Checked again at the next handshake: the files may be complete by then.
                log.error("new certificates refused, the previous ones stay in use", reason=str(refused))
                return None
            self._known = now
            log.info("certificates renewed", certificate=str(self._tls.certificate))
            return renewed


@dataclass(frozen=True)
class ClientTls:
    """The authority that a client trusts (unset: the default ones), and the client's own certificate."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def where_named(cls, ca: Path | None, certificate: Path | None, key: Path | None) -> Self | None:
        """Returns the TLS of a program's three settings: None if neither `ca` nor `certificate` is set."""
        return None if ca is None and certificate is None else cls(ca, certificate, key)

    @property
    def files(self) -> tuple[Path, ...]:
        """All paths."""
        return _named(self.ca, self.certificate, self.key)

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
            CertificatesError: A file can't be read or is invalid, the key belongs to another certificate, or the files
                are being replaced at this moment.
        """
        before = file_signature(*self.files)
        ca = _read(self.ca) if self.ca else None
        key = _read(self.key) if self.key else None
        certificate = _read(self.certificate) if self.certificate else None
        if self.ca and ca is not None:
            _check_authorities(self.ca, ca)
        if self.certificate and self.key:
            _check_pair(self.certificate, self.key)
        _require_unchanged(before, self.files)
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=certificate)


def require_usable(variables: str, tls: ServerTls | ClientTls | None) -> None:
    """Exits with code 2 if the files of settings ("JOBS_GRPC_TLS_*") can't be used."""
    if tls is None:
        return
    try:
        tls.credentials()
    except CertificatesError as refused:
        print(f"{variables}: {refused}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None


def require_pairs(**files: Path | None) -> None:
    """Checks that a certificate and its key are either both set or both unset, for pairs of settings.

    Raises:
        ValueError: Only one of them is set.
    """
    names = list(files)
    for certificate, key in zip(names[::2], names[1::2], strict=True):
        if (files[certificate] is None) != (files[key] is None):
            raise ValueError(f"{certificate.upper()} and {key.upper()}: set both or neither")


def _named(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(path for path in paths if path is not None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificatesError(f"{path}: {error.strerror}") from None


def _check_pair(certificate: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # The empty password is for encrypted keys: without it OpenSSL would prompt on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise CertificatesError(
            f"{certificate} and {key}: expected a certificate and its key, both PEM, the key without a password: "
            f"{_reason(error)}"
        ) from None


def _check_authorities(path: Path, content: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=content.decode("ascii"))
    except (UnicodeDecodeError, ssl.SSLError) as error:
        raise CertificatesError(f"{path}: expected certificates (PEM): {_reason(error)}") from None


def _require_unchanged(before: Signature, files: tuple[Path, ...]) -> None:
    if file_signature(*files) != before:
        raise CertificatesError(f"{', '.join(map(str, files))}: being replaced at this moment")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
