"""How to reach Kafka: addresses, TLS and SASL from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError

from fanfare.settings import Settings, SettingsError
from fanfare.tasks import uninterrupted
from fanfare.tls import Problem, client_context, problem

__all__ = ["KafkaAwayError", "admin", "bootstrap", "connection", "tls_problem", "tool_properties"]

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
        found["ssl_context"] = client_context(
            "FANFARE_KAFKA", settings.kafka_ca, settings.kafka_cert, settings.kafka_key
        )
    if security.startswith("SASL"):
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return found


async def tls_problem(settings: Settings) -> str:
    """Why TLS, or that there is none, keeps us from the brokers, and the setting; '' where it is not that."""
    options = connection(settings)
    security = settings.kafka_security
    for host, port, _ in collect_hosts(options["bootstrap_servers"]):
        why = await problem(host, port, options.get("ssl_context"))
        match why:
            case "":
                continue
            case Problem.PLAIN:
                what = f"FANFARE_KAFKA_SECURITY is {security}"
            case Problem.TLS:
                what = f"FANFARE_KAFKA_SECURITY is {security}: set it to SSL or SASL_SSL"
            case Problem.CLOSED:
                what = f"FANFARE_KAFKA_CERT is {settings.kafka_cert or 'not set'}"
            case _:
                authority = settings.kafka_ca or "not set, so the authorities count that the system trusts"
                what = f"FANFARE_KAFKA_CA is {authority}"
        return f"{host}:{port}: {why}; {what}"
    return ""


def tool_properties(settings: Settings) -> str:
    """The same for Kafka's own tools, as the text of a Java properties file."""
    found: dict[str, str] = {"security.protocol": settings.kafka_security}
    if settings.kafka_security.endswith("SSL"):
        if settings.kafka_ca is not None:
            found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(settings.kafka_ca)}
        if settings.kafka_cert is not None and settings.kafka_key is not None:
            found |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.certificate.chain": settings.kafka_cert.read_text(),
                "ssl.keystore.key": settings.kafka_key.read_text(),
            }
    if settings.kafka_security.startswith("SASL"):
        kind = "plain.Plain" if settings.kafka_sasl_mechanism == "PLAIN" else "scram.Scram"
        name = settings.kafka_sasl_username
        words = {"username": name, "password": settings.kafka_sasl_password.get_secret_value()}
        login = " ".join(f'{key}="{_escaped(word, chr(34))}"' for key, word in words.items())
        found |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.jaas.config": f"org.apache.kafka.common.security.{kind}LoginModule required {login};",
        }
    return "".join(f"{key}={_escaped(value)}\n" for key, value in found.items())


def _escaped(text: str, quote: str = "") -> str:
    """A word in quotation marks of JAAS, or a value in a properties file."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace(quote, f"\\{quote}") if quote else text


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
            why = await tls_problem(settings)
            raise KafkaAwayError(
                why or f"no Kafka broker answers at {bootstrap(settings)}: {error}"
            ) from None
        yield client
    finally:
        await client.close()
