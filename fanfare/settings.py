"""Settings: one frozen model per process. `environment` reads it, and `settings_rules` judges it.

Every process has the same settings; `fanfare up` fills in the addresses of the embedded parts before it starts the
services. An empty variable counts as not set.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from fanfare.addresses import reach, url_host
from fanfare.service_links import is_service_link

__all__ = ["PREFIX", "Settings", "SettingsError"]

PREFIX = "FANFARE_"
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?")


class SettingsError(Exception):
    """The environment holds a setting that cannot be used; the message says which and what to do."""


class _Environment(EnvSettingsSource):
    """The environment without the variables of Kubernetes' service links."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        every = super()._load_env_vars()
        return {
            name: value for name, value in every.items() if not is_service_link(name.upper(), value or "")
        }


class Settings(BaseSettings):
    """All settings. The variable of a field is `FANFARE_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, allow_inf_nan=False
    )

    home: Path = Field(
        default=Path(".fanfare"), description="Folder of the embedded parts' data, logs and run file."
    )
    secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signs tokens and session ids, the same in all processes; 32 characters or more. A list with "
        "commas: the first one signs, all of them verify. Embedded: made once and kept in the data folder.",
    )

    admin_key: SecretStr = Field(
        default=SecretStr(""),
        description="Lets in whoever sends `Authorization: Admin KEY`: to the live view, and to routes of operators. "
        "Empty: nobody. Embedded: made once and kept in the data folder.",
    )

    prefix: str = Field(
        default="",
        pattern=r"^([a-z]([a-z0-9-]{0,30}[a-z0-9])?)?$",
        description="What the names of topics, groups, Redis keys and of the PostgreSQL schema begin with: another one "
        "for each installation that shares a store. Letters, digits and hyphens.",
    )

    # Where the stores are. Empty: the embedded one.
    kafka: str = Field(default="", description="Bootstrap servers, HOST:PORT[,HOST:PORT...].")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Protocol of the brokers' listener."
    )
    kafka_ca: Path | None = Field(
        default=None, description="PEM file of the authority that signed the brokers."
    )
    kafka_cert: Path | None = Field(default=None, description="PEM file of our client certificate.")
    kafka_key: Path | None = Field(default=None, description="PEM file of its key.")
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How we log in to the brokers, for SASL_PLAINTEXT and SASL_SSL."
    )
    kafka_sasl_username: str = Field(default="", description="Name to log in with.")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    redis: SecretStr = Field(
        default=SecretStr(""), description="redis://[USER:PASSWORD@]HOST:PORT/DB, or rediss:// for TLS."
    )
    redis_ca: Path | None = Field(
        default=None, description="PEM file of the authority that signed the server."
    )
    postgres: SecretStr = Field(
        default=SecretStr(""), description="postgresql://USER:PASSWORD@HOST:PORT/DB[?sslmode=verify-full]."
    )
    postgres_ca: Path | None = Field(
        default=None, description="PEM file of the authority that signed the server."
    )

    # Files in messages.
    files: str = Field(
        default="",
        description="Where files in messages are kept: a folder, or s3://BUCKET[/PREFIX]; the same for all gateways "
        "and archivers. Default: the folder `files` in FANFARE_HOME.",
    )
    s3_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^/?#]+(/[^?#]*)?)?$",
        description="URL of the S3-compatible store. Default: Amazon's.",
    )
    s3_region: str = Field(default="us-east-1", description="Its region.")
    s3_key: SecretStr = Field(
        default=SecretStr(""), description="Access key id. Default: what the machine or pod was given."
    )
    s3_secret: SecretStr = Field(default=SecretStr(""), description="Its secret.")
    file_bytes: int = Field(
        default=10 * 1024 * 1024,
        ge=0,
        le=25 * 1024 * 1024,
        description="The largest file that somebody may send. 0: there are no files.",
    )

    # Where we listen.
    host: str = Field(default="127.0.0.1", description="Address that the public ports are bound to.")
    rest_port: int = Field(default=8080, ge=0, le=65535, description="Public REST port.")
    gateway_port: int = Field(default=8081, ge=0, le=65535, description="Public websocket port.")
    internal_host: str = Field(default="127.0.0.1", description="Address of health, readiness and metrics.")
    internal_port: int = Field(
        default=9100,
        ge=0,
        le=65535,
        description="First internal port; each further process has the next one. 0: any free port.",
    )
    public_url: str = Field(
        default="",
        description="Websocket URL that clients resume on. Default: ws://HOST:GATEWAY_PORT/gateway/.",
    )
    public_rest_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#@]+(/[^?#]*)?)?$",
        description="URL by which clients reach REST, without /api: links to files begin with it. Default: "
        "http://HOST:REST_PORT.",
    )
    tls_cert: Path | None = Field(
        default=None, description="PEM file with the certificate chain of the public ports."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with its key.")

    # The embedded parts.
    brokers: Literal[1, 3] = Field(default=1, description="Embedded Kafka brokers.")
    kafka_port: int = Field(default=9092, ge=0, le=65535, description="Port of the first embedded broker.")
    redis_port: int = Field(default=6379, ge=0, le=65535, description="Port of the embedded Valkey.")
    postgres_port: int = Field(default=5432, ge=0, le=65535, description="Port of the embedded PostgreSQL.")

    # Kafka.
    chat_partitions: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description="Partitions of `chat.events` and `chat.deliveries`, when they are made.",
    )
    guild_partitions: int = Field(default=4, ge=1, le=10_000, description="Partitions of the `guild` topics.")
    location_partitions: int = Field(
        default=4, ge=1, le=10_000, description="Partitions of the `location` topics."
    )
    session_timeout_ms: int = Field(
        default=3000,
        ge=1000,
        le=1_800_000,
        description="After this long without a heartbeat a worker's partitions go to another one. Brokers refuse less "
        "than their group.min.session.timeout.ms (6000 by default).",
    )

    instance: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9._-]{0,200}$",
        description="Of a worker: a name that it keeps when it is started again, such as the name of its pod in a "
        "StatefulSet (static membership). Another one for each process; see what it costs, below.",
    )

    # The services.
    batch_records: int = Field(
        default=500,
        ge=1,
        le=1000,
        description="The most records of a partition that a worker handles at once.",
    )
    keep_messages_days: int = Field(
        default=0,
        ge=0,
        le=36_500,
        description="Messages are dropped from the archive when they are this old, a month at a time. 0: never.",
    )
    keep_positions_days: int = Field(
        default=30, ge=0, le=36_500, description="The same for positions, a day at a time. 0: never."
    )
    parquet: Path | None = Field(
        default=None,
        description="Folder into which the archiver also writes Parquet files (the extra `parquet` has to be "
        "installed). Default: none are written.",
    )
    fanout_budget: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="For demonstrations: the most events a second that a fan-out takes on, so that it can be overrun. "
        "0: as many as it can.",
    )
    drain_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="Window over which a stopping gateway asks its clients to reconnect.",
    )
    unready_s: float = Field(
        default=0.0,
        ge=0,
        le=600,
        description="How long a gateway that was told to stop still takes sockets, while /readyz and /healthz say 503. "
        "Set it to longer than the load balancer takes to notice.",
    )
    unidentified: int = Field(
        default=8192,
        ge=0,
        description="Connections of each public port of a process that have not identified. At the bound, the oldest "
        "one makes room for a new one. 0: any number.",
    )
    unidentified_per_address: int = Field(
        default=6144,
        ge=0,
        description="The same for one IPv4 address or IPv6 /64. High, because a proxy or a NAT is one address, and all "
        "behind it may come back at once. 0: any number.",
    )
    invalid_tokens_per_address: int = Field(
        default=10_000,
        ge=0,
        description="An address that sends as many wrong tokens within 10 minutes is kept out until these are over. "
        "0: any number.",
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks, with commas between, of proxies whose X-Forwarded-For names the client. "
        "Default: no proxy is trusted.",
    )
    io_uring: bool = Field(
        default=True,
        description="Whether a gateway writes to many sockets in one system call, by io_uring, if the kernel and "
        "the container allow it.",
    )
    send_limit: int = Field(
        default=0,
        ge=0,
        description="Messages that a user may send to a channel in 5 s, per gateway. 0: any number.",
    )
    location_limit: int = Field(
        default=100,
        ge=0,
        description="Positions of an entity that a user may publish one by one in 5 s, per gateway. 0: any number.",
    )
    near_m: int = Field(
        default=300,
        ge=0,
        description="An order that was picked up is near when its driver is so close to its destination, in metres. "
        "0: the app says so.",
    )
    session_starts: int = Field(
        default=1000,
        ge=0,
        description="Sessions that a bot may begin in 24 h; GET /gateway/bot tells. 0: any number.",
    )
    router: str = Field(
        default="",
        pattern=r"^(https?://[^\s]+)?$",
        description="Address of a router in the form of OSRM's, for what is left of the way of an order, such as "
        "http://HOST:5000. Default: the great circle and recent speed.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged. No level shows tokens or the content of messages."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Lines for people, or one JSON object a line."
    )

    traces: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Where traces go: the OTLP/HTTP address of a collector, such as http://HOST:4318/v1/traces; needs "
        "the extra `tracing`. Default: there are none.",
    )
    traced_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How many of the messages and other events of channels are traced, where traces are on. 1: all.",
    )

    # Handed to each process by `fanfare up`.
    process: str = Field(default="", description="Name of this process, such as gateway.1.")
    control: Path | None = Field(
        default=None, description="Data folder of the `fanfare up` that runs this process and can be asked."
    )
    rest_fd: int = Field(default=-1, description="Inherited descriptor of the shared public REST socket.")
    gateway_fd: int = Field(
        default=-1, description="Inherited descriptor of the shared public websocket socket."
    )

    @field_validator("brokers", mode="before")
    @classmethod
    def _number(cls, brokers: object) -> object:
        # A variable is text, and the numbers of a Literal are not read from text.
        return int(brokers) if isinstance(brokers, str) and brokers.isdigit() else brokers

    @field_validator("host", "internal_host")
    @classmethod
    def _bare(cls, host: str) -> str:
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("kafka")
    @classmethod
    def _no_spaces(cls, servers: str) -> str:
        return ",".join(server.strip() for server in servers.split(","))

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        _networks_of(text)
        return text

    @field_validator("files")
    @classmethod
    def _folder_or_bucket(cls, where: str) -> str:
        if "://" in where and not _BUCKET.fullmatch(where):
            raise ValueError("must be a folder, or s3://BUCKET[/PREFIX]")
        return where

    @field_validator("public_url")
    @classmethod
    def _ends_in_slash(cls, url: str) -> str:
        return url if not url or url.endswith("/") else url + "/"

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    def public_gateway(self) -> str:
        """The websocket URL that clients are given; ends in `/`."""
        scheme = "wss" if self.tls_cert else "ws"
        return self.public_url or f"{scheme}://{url_host(reach(self.host))}:{self.gateway_port}/gateway/"

    def public_rest(self) -> str:
        """The base URL of REST, without its path; ends in no slash."""
        return self.public_rest_url.rstrip("/") or self.public_web()

    def public_api(self) -> str:
        """The base URL of REST, with the version."""
        return f"{self.public_web()}/api/v10"

    def public_web(self) -> str:
        """The address of the pages, without a path."""
        scheme = "https" if self.tls_cert else "http"
        return f"{scheme}://{url_host(reach(self.host))}:{self.rest_port}"

    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The trusted proxies."""
        return _networks_of(self.trusted_proxies)


def _networks_of(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    parts = filter(None, (part.strip() for part in text.split(",")))
    return tuple(ip_network(part, strict=False) for part in parts)
