"""Certificates of a test's own authority, in files as the settings name them."""

import datetime as dt
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

HOSTS = ("127.0.0.1", "localhost")


class Authority:
    """An authority, and the files that it has made in a folder."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.folder = folder
        self.pem = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.pem)

    def issue(
        self, name: str, *hosts: str, days: int = 2, common_name: str | None = None
    ) -> tuple[Path, Path]:
        """The files of a certificate and its key, in the place of those of that name; expired after `days`."""
        today = dt.datetime.now(dt.UTC)
        made = self._ca.issue_cert(
            *(hosts or HOSTS),
            common_name=common_name,
            not_before=today - dt.timedelta(days=10),
            not_after=today + dt.timedelta(days=days),
        )
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        # Kafka reads keys in PKCS #8 only.
        key = load_pem_private_key(made.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        for path, content in zip(files, (chain, key), strict=True):
            path.write_bytes(content)
            path.chmod(0o600)
        (self.folder / f"{name}.both.pem").write_bytes(key + chain)
        return files
