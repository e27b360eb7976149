"""How to reach Kafka: addresses, TLS and SASL from the settings."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from fanfare.settings import Settings, SettingsError
from fanfare.tasks import uninterrupted

__all__ = ["KafkaAwayError", "admin", "bootstrap", "connection"]

# How long a cancellation waits for a connection that is just being made.
_START_S: Final = 2.0


class KafkaAwayError(ConnectionError):
    """No broker answers; the message names the addresses tried."""


def bootstrap(settings: Settings) -> str:
    """The bootstrap servers: from the settings, or else those of the running `fanfare up`.

    Raises:
        SettingsError: there are neither.

    """
    if settings.kafka:
        return settings.kafka
    try:
        found = msgspec.json.decode((settings.home / "run.json").read_bytes(), type=dict[str, Any])
        return str(found["kafka"])
    except (OSError, msgspec.DecodeError, KeyError):
        raise SettingsError(
            "there is no Kafka: start `fanfare up`, or set FANFARE_KAFKA to HOST:PORT[,HOST:PORT...]"
        ) from None


def connection(settings: Settings) -> dict[str, Any]:
    """The arguments by which every aiokafka client reaches the brokers.

    Raises:
        SettingsError: there are no brokers, or a certificate cannot be read.

    """
    security = settings.kafka_security
    found: dict[str, Any] = {"bootstrap_servers": bootstrap(settings), "security_protocol": security}
    if security.endswith("SSL"):
        try:
            context = ssl.create_default_context(cafile=settings.kafka_ca)
            if settings.kafka_cert is not None:
                context.load_cert_chain(settings.kafka_cert, settings.kafka_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"FANFARE_KAFKA_CA, _CERT or _KEY cannot be used: {error}") from None
        found["ssl_context"] = context
    if security.startswith("SASL"):
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return found


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[Any]:
    """An admin client.

    Raises:
        KafkaAwayError: no broker answers.

    """
    client = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=10_000)
    try:
        try:
            await uninterrupted(client.start(), _START_S)
        except (KafkaError, OSError) as error:
            raise KafkaAwayError(f"no Kafka broker answers at {bootstrap(settings)}: {error}") from None
        yield client
    finally:
        await client.close()
