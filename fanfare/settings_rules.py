"""What is wrong with settings taken together, each said with the names of the variables. Reads the files they name."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from fanfare.addresses import host_problem, is_everywhere, kafka_problem, public_url_problem
from fanfare.settings import Settings, SettingsError
from fanfare.tokens import SECRET_LENGTH, secrets_of

__all__ = ["problems", "public_problems", "remarks", "require_public"]

_PAIRS: Final = (("tls_cert", "tls_key"), ("kafka_cert", "kafka_key"))
# What a URL of redis-py's may say of how answers are read.
_ANSWERS: Final = frozenset({"decode_responses", "encoding", "encoding_errors"})
_FILES: Final = ("tls_cert", "tls_key", "kafka_ca", "kafka_cert", "kafka_key", "redis_ca", "postgres_ca")
_KEYS: Final = ("tls_key", "kafka_key")
# PostgreSQL's own; those that come first verify nothing.
_UNVERIFIED: Final = ("disable", "allow", "prefer", "require")
_SSLMODES: Final = (*_UNVERIFIED, "verify-ca", "verify-full")
_FILE_BYTES: Final = 1024 * 1024


def _name(field: str) -> str:
    return f"FANFARE_{field.upper()}"


def problems(settings: Settings) -> list[str]:
    """What keeps any process from starting with these settings."""
    return [
        *_secrets(settings),
        *_addresses(settings),
        *_kafka(settings),
        *_stores(settings),
        *_files(settings),
    ]


def public_problems(settings: Settings) -> list[str]:
    """What keeps clients from finding a gateway with these settings."""
    if settings.public_url:
        return []
    found = []
    if is_everywhere(settings.host):
        found.append(
            f"FANFARE_HOST is {settings.host}, which means all addresses of this machine and is none that a client can "
            "connect to: set FANFARE_PUBLIC_URL to the ws:// or wss:// URL that clients reach the gateways by"
        )
    if settings.gateway_port == 0 and settings.gateway_fd < 0:
        found.append(
            "FANFARE_GATEWAY_PORT is 0, so the port is not known before the start: set it, or FANFARE_PUBLIC_URL"
        )
    return found


def require_public(settings: Settings) -> None:
    """Check the settings of a process that serves clients.

    Raises:
        SettingsError: clients could not find the gateways.

    """
    if found := public_problems(settings):
        raise SettingsError("; ".join(found))


def remarks(settings: Settings) -> list[str]:
    """Settings that work, but that were probably not meant so."""
    found = []
    for field in _KEYS:
        path = getattr(settings, field)
        try:
            if path is not None and path.stat().st_mode & 0o007:
                found.append(f"{_name(field)}: every user of this machine may read {path}: chmod o= it")
        except OSError:
            continue  # is among the problems
    if settings.kafka_sasl_username and not settings.kafka_security.startswith("SASL"):
        found.append(
            f"FANFARE_KAFKA_SASL_USERNAME is not used, because FANFARE_KAFKA_SECURITY is {settings.kafka_security}"
        )
    return found


def _secrets(settings: Settings) -> list[str]:
    setting = settings.secret.get_secret_value()
    secrets = secrets_of(setting)
    how = '`python3 -c "import secrets; print(secrets.token_hex(32))"` makes one'
    if setting and not secrets:
        return [f"FANFARE_SECRET has no secret in it: {how}"]
    if any(len(secret) < SECRET_LENGTH for secret in secrets):
        which = "has one that is" if len(secrets) > 1 else "is"
        return [f"FANFARE_SECRET {which} shorter than {SECRET_LENGTH} characters and could be guessed: {how}"]
    return []


def _addresses(settings: Settings) -> list[str]:
    found = [
        f"{_name(field)}: {why}"
        for field in ("host", "internal_host")
        if (why := host_problem(getattr(settings, field)))
    ]
    if settings.public_url and (why := public_url_problem(settings.public_url, tls=bool(settings.tls_cert))):
        found.append(f"FANFARE_PUBLIC_URL {why}")
    return found


def _kafka(settings: Settings) -> list[str]:
    found = []
    security = settings.kafka_security
    if settings.kafka and (why := kafka_problem(settings.kafka)):
        found.append(f"FANFARE_KAFKA: {why}")
    if security != "PLAINTEXT" and not settings.kafka:
        found.append(
            f"FANFARE_KAFKA_SECURITY is {security} and FANFARE_KAFKA is empty: the embedded brokers speak PLAINTEXT"
        )
    if security.startswith("SASL") and not (
        settings.kafka_sasl_username and settings.kafka_sasl_password.get_secret_value()
    ):
        found.append(
            f"FANFARE_KAFKA_SECURITY is {security}, which needs FANFARE_KAFKA_SASL_USERNAME and "
            "FANFARE_KAFKA_SASL_PASSWORD"
        )
    if not security.endswith("SSL"):
        unused = [
            _name(field) for field in ("kafka_ca", "kafka_cert", "kafka_key") if getattr(settings, field)
        ]
        if unused:
            found.append(
                f"{', '.join(unused)} would not be used, because FANFARE_KAFKA_SECURITY is {security}: "
                "set it to SSL or SASL_SSL"
            )
    return found


def _stores(settings: Settings) -> list[str]:
    # The URLs hold passwords: what is said of them shows only their scheme.
    found = []
    if redis := settings.redis.get_secret_value():
        if why := _url_problem(redis, ("redis", "rediss"), "redis://[USER:PASSWORD@]HOST:PORT/DB"):
            found.append(f"FANFARE_REDIS {why}")
        elif (number := urlsplit(redis).path.removeprefix("/")) and not (
            number.isascii() and number.isdigit()
        ):
            found.append("FANFARE_REDIS: what follows the host is no number of a database, such as /0")
        elif unfit := sorted(_ANSWERS.intersection(parse_qs(urlsplit(redis).query))):
            found.append(
                f"FANFARE_REDIS: leave {', '.join(unfit)} out: Fanfare reads bytes, whatever these say of answers"
            )
        elif settings.redis_ca and not redis.startswith("rediss://"):
            found.append(
                "FANFARE_REDIS_CA would not be used, because FANFARE_REDIS does not begin with rediss://"
            )
    if postgres := settings.postgres.get_secret_value():
        wanted = "postgresql://USER:PASSWORD@HOST:PORT/DB"
        if why := _url_problem(postgres, ("postgresql", "postgres"), wanted):
            found.append(f"FANFARE_POSTGRES {why}")
        elif not urlsplit(postgres).path.removeprefix("/"):
            found.append(f"FANFARE_POSTGRES names no database: it is {wanted}")
        else:
            found += _sslmode(settings, dict(parse_qsl(urlsplit(postgres).query)).get("sslmode", ""))
    return found


def _sslmode(settings: Settings, mode: str) -> list[str]:
    if mode and mode not in _SSLMODES:
        return [f"FANFARE_POSTGRES has sslmode={mode}, which is none: use {', '.join(_SSLMODES)}"]
    if settings.postgres_ca and mode in _UNVERIFIED:
        said = "FANFARE_POSTGRES_CA would not be used, because FANFARE_POSTGRES has"
        return [f"{said} sslmode={mode}: use verify-full, or leave it out"]
    return []


def _url_problem(url: str, schemes: tuple[str, ...], wanted: str) -> str:
    escaped = f"must be {wanted}, with special characters of the password escaped, such as %40 for @"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return escaped
    if parts.scheme not in schemes:
        return f"must begin with {'://, '.join(schemes)}://: it is {wanted}"
    if not parts.hostname or port == 0 or "@" in parts.path or any(character.isspace() for character in url):
        return escaped if "@" in url else f"names no host and port: it is {wanted}"
    return ""


def _files(settings: Settings) -> list[str]:
    found = []
    for cert, key in _PAIRS:
        has_cert, has_key = getattr(settings, cert), getattr(settings, key)
        if bool(has_cert) != bool(has_key):
            given, missing = (cert, key) if has_cert else (key, cert)
            found.append(f"{_name(given)} is set and {_name(missing)} is not: both or neither")
    named = {field: path for field in _FILES if (path := getattr(settings, field)) is not None}
    unfit = {field: why for field, path in named.items() if (why := _pem_problem(path))}
    found += [f"{_name(field)}: {named[field]} {why}" for field, why in unfit.items()]
    fit = {field: path for field, path in named.items() if field not in unfit}
    return found + _mismatch(fit)


def _mismatch(files: Mapping[str, Path]) -> list[str]:
    found = []
    for cert, key in _PAIRS:
        chain, secret = files.get(cert), files.get(key)
        if chain is None or secret is None:
            continue
        try:
            # With a password of nothing, so that a key that has one is an error and no question at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, secret, password="")
        except (OSError, ssl.SSLError) as error:
            found.append(
                f"{_name(cert)} and {_name(key)} cannot be used together ({error}): "
                "is the key the certificate's, and without a password?"
            )
    return found


def _pem_problem(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES)
    except OSError as error:
        return f"cannot be read: {os.strerror(error.errno or 0)}"
    return "" if b"-----BEGIN " in content else "is no PEM file: it has no line that begins with -----BEGIN"
