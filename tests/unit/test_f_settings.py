"""F1, F2 and wrong values: settings that cannot be used are said by their names, all at once."""

from pathlib import Path

import pytest

from fanfare import environment as module
from fanfare.addresses import host_problem, is_everywhere, kafka_problem, public_url_problem, reach, url_host
from fanfare.environment import load_settings
from fanfare.service_links import service_links
from fanfare.settings import Settings, SettingsError
from fanfare.settings_rules import problems, remarks, require_public

# What Kubernetes 1.33 puts into a pod for Services `fanfare`, `fanfare-redis` and `fanfare-gateway`.
LINKS = {
    "FANFARE_SERVICE_HOST": "10.96.0.17",
    "FANFARE_SERVICE_PORT": "8080",
    "FANFARE_SERVICE_PORT_HTTP": "8080",
    "FANFARE_SERVICE_PORT_WEB_SOCKET": "8081",
    "FANFARE_PORT": "tcp://10.96.0.17:8080",
    "FANFARE_PORT_8080_TCP": "tcp://10.96.0.17:8080",
    "FANFARE_PORT_8080_TCP_PROTO": "tcp",
    "FANFARE_PORT_8080_TCP_PORT": "8080",
    "FANFARE_PORT_8080_TCP_ADDR": "10.96.0.17",
    "FANFARE_REDIS_SERVICE_HOST": "fd00::7",
    "FANFARE_REDIS_PORT": "tcp://[fd00::7]:6379",
    "FANFARE_REDIS_PORT_6379_TCP": "tcp://[fd00::7]:6379",
    "FANFARE_KAFKA_PORT": "tcp://10.0.0.1:9092",
    "FANFARE_POSTGRES_PORT": "tcp://10.0.0.1:5432",
    "FANFARE_GATEWAY_SERVICE_HOST": "10.96.0.18",
    "FANFARE_GATEWAY_SERVICE_PORT_WS": "8081",
    "FANFARE_GATEWAY_PORT": "tcp://10.96.0.18:8081",
    "FANFARE_GATEWAY_PORT_53_UDP": "udp://10.96.0.18:53",
    "FANFARE_REST_PORT": "tcp://10.96.0.18:8080",
    "FANFARE_INTERNAL_PORT": "tcp://10.96.0.18:9100",
}


@pytest.fixture
def load(monkeypatch):
    """`load(FANFARE_X="...")`: the settings of that environment."""

    def read(**environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        module._read.cache_clear()
        return load_settings()

    yield read
    module._read.cache_clear()


def refused(load, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**environment)
    return str(caught.value)


def test_f1_service_links_are_left_out(load):
    found = load(**LINKS)
    assert (found.redis_port, found.gateway_port, found.internal_port) == (6379, 8081, 9100)
    assert service_links(LINKS) == sorted(LINKS)


def test_f1_a_setting_beside_the_links_counts(load):
    found = load(**{**LINKS, "FANFARE_REDIS_PORT": "7000", "FANFARE_KAFKA": "kafka:9092"})
    assert (found.redis_port, found.kafka) == (7000, "kafka:9092")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FANFARE_PORT", "8080"),  # a setting that somebody thinks there is
        ("FANFARE_REDISS_PORT", "6379"),
        ("FANFARE_SERVICE_HOST", "fanfare.example"),
        ("FANFARE_SERVICE_NAME", "fanfare"),
    ],
)
def test_f1_what_only_looks_like_a_link_is_refused_by_name(load, name, value):
    assert f"unknown setting {name}" in refused(load, **{name: value})


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_f2_an_ipv6_host_stands_in_brackets_in_urls(load, host):
    found = load(FANFARE_HOST=host, FANFARE_GATEWAY_PORT="81")
    assert found.public_gateway() == "ws://[::1]:81/gateway/"
    assert found.public_api() == "http://[::1]:8080/api/v10"
    assert url_host("fe80::1%eth0") == "[fe80::1%25eth0]"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0"])
def test_f2_an_address_that_clients_cannot_use_wants_a_public_url(load, host):
    found = load(FANFARE_HOST=host)
    with pytest.raises(SettingsError, match="FANFARE_PUBLIC_URL"):
        require_public(found)
    require_public(found.model_copy(update={"public_url": "ws://chat.example/gateway/"}))
    assert reach(found.host) in {"127.0.0.1", "::1"}
    assert is_everywhere(found.host)


def test_f2_port_0_without_fanfare_up_wants_a_public_url(load):
    found = load(FANFARE_GATEWAY_PORT="0")
    with pytest.raises(SettingsError, match="FANFARE_GATEWAY_PORT is 0"):
        require_public(found)
    require_public(found.model_copy(update={"gateway_fd": 5}))


@pytest.mark.parametrize(
    ("url", "tls", "says"),
    [
        ("http://chat.example/", False, "ws://"),
        ("ws://chat.example/", True, "wss://"),
        ("wss://alice:secret@chat.example/", False, "user name"),
        ("wss://chat.example/gateway#a", False, "fragment"),
        ("wss://chat.example/gateway?v=10", False, "query"),
        ("wss://0.0.0.0:8081/", False, "no client can connect"),
        ("wss://[::]:8081/", False, "no client can connect"),
        ("wss:///gateway", False, "no host"),
        ("wss://chat.example:0/", False, "port 0"),
        ("wss://chat.example:99999/", False, "no URL"),
        ("wss://chat .example/", False, "no host"),
    ],
)
def test_f2_a_public_url_that_clients_cannot_use_is_refused(url, tls, says):
    assert says in public_url_problem(url, tls=tls)


def test_f2_good_public_urls_are_taken():
    for url in ("wss://chat.example/", "ws://[fd00::1]:8081/gateway/", "ws://10.0.0.1:8081/x/y/"):
        assert public_url_problem(url, tls=False) == ""


@pytest.mark.parametrize("host", ["127.0.0.1:80", "http://a", "a b", "999.1.1.1", "1.2.3", "-a", "*"])
def test_f2_what_is_no_host_is_refused(load, host):
    assert host_problem(host)
    assert "FANFARE_HOST" in refused(load, FANFARE_HOST=host)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FANFARE_REST_PORT", "65536", "FANFARE_REST_PORT"),
        ("FANFARE_GATEWAY_PORT", "-1", "FANFARE_GATEWAY_PORT"),
        ("FANFARE_REST_PORT", "http", "FANFARE_REST_PORT"),
        ("FANFARE_CHAT_PARTITIONS", "0", "FANFARE_CHAT_PARTITIONS"),
        ("FANFARE_DRAIN_S", "nan", "FANFARE_DRAIN_S"),
        ("FANFARE_DRAIN_S", "inf", "FANFARE_DRAIN_S"),
        ("FANFARE_SESSION_TIMEOUT_MS", "5", "FANFARE_SESSION_TIMEOUT_MS"),
        ("FANFARE_BROKERS", "2", "FANFARE_BROKERS"),
        ("FANFARE_KAFKA", " kafka:9092", "space"),
        ("FANFARE_KAFKA", '"kafka:9092"', "quotation marks"),
        ("FANFARE_SECRET", "'a secret of thirty-two characters'", "quotation marks"),
        (
            "FANFARE_SECRET",
            "x" * 31,
            "FANFARE_SECRET is shorter than 32 characters",
        ),
        (
            "FANFARE_SECRET",
            "a secret of thirty-two characters,short",
            "FANFARE_SECRET has one that is shorter",
        ),
        ("FANFARE_SECRET", ", ,", "FANFARE_SECRET has no secret in it"),
        ("FANFARE_KAFKA", "PLAINTEXT://kafka:9092", "FANFARE_KAFKA_SECURITY"),
        ("FANFARE_KAFKA", "kafka", "HOST:PORT"),
        ("FANFARE_KAFKA", "kafka:9092,", "HOST:PORT"),
        ("FANFARE_KAFKA", "::1:9092", "brackets"),
        ("FANFARE_REDIS", "http://redis:6379/0", "redis://"),
        ("FANFARE_REDIS", "redis:///0", "no host"),
        ("FANFARE_REDIS", "redis://redis:6379/one", "database"),
        ("FANFARE_REDIS", "redis://redis:6379/0?decode_responses=true", "leave decode_responses out"),
        ("FANFARE_REDIS", "redis://redis:6379?encoding=latin-1", "leave encoding out"),
        ("FANFARE_REDIS", "redis://:a/b@redis:6379/0", "escaped"),
        ("FANFARE_POSTGRES", "mysql://db/fanfare", "postgresql://"),
        ("FANFARE_POSTGRES", "postgresql://u:p@db:5432", "no database"),
        ("FANFARE_POSTGRES", "postgresql://u:p@db/x?sslmode=verify_full", "use disable, allow"),
        ("FANFARE_KAFKA_SECURITY", "SASL_SSL", "FANFARE_KAFKA_SASL_USERNAME"),
        ("FANFARE_TLS_CERT", "/nowhere.pem", "FANFARE_TLS_KEY"),
        ("FANFARE_REDIS_CA", "/nowhere.pem", "cannot be read"),
        ("fanfare_rest_port", "80", "capitals: FANFARE_REST_PORT"),
        ("FANFARE_REDIS_URL", "x", "unknown setting FANFARE_REDIS_URL"),
        ("FANFARE_POSTGRESS", "x", "did you mean FANFARE_POSTGRES?"),
    ],
)
def test_f2_wrong_values_are_said_by_name(load, name, value, says):
    assert says in refused(load, **{name: value})


def test_f3_an_authority_that_would_not_be_used_is_said(load, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----")
    for mode in ("prefer", "require"):
        url = f"postgresql://u:p@db/x?sslmode={mode}"
        assert f"sslmode={mode}" in refused(load, FANFARE_POSTGRES=url, FANFARE_POSTGRES_CA=str(ca))
    assert load(FANFARE_POSTGRES="postgresql://u:p@db/x?sslmode=verify-ca", FANFARE_POSTGRES_CA=str(ca))


def test_all_that_is_wrong_is_said_at_once(load):
    said = refused(load, FANFARE_NOTHING="1", FANFARE_KAFKA="'k:1'", FANFARE_REST_PORT="x")
    assert all(name in said for name in ("FANFARE_NOTHING", "FANFARE_KAFKA", "FANFARE_REST_PORT"))


def test_no_password_is_shown(load):
    said = refused(load, FANFARE_REDIS="http://:hush@redis/0", FANFARE_POSTGRES="mysql://u:hush@db/x")
    assert "hush" not in said


def test_an_empty_variable_counts_as_not_set(load):
    found = load(FANFARE_REST_PORT="", FANFARE_TLS_CERT="", FANFARE_KAFKA="")
    assert (found.rest_port, found.tls_cert, found.kafka) == (8080, None, "")


def test_lists_of_brokers(load):
    assert load(FANFARE_KAFKA="a:9092, [::1]:9093 ,b.example:1").kafka == "a:9092,[::1]:9093,b.example:1"
    assert kafka_problem("a:9092,[::1]:9093") == ""


def test_files_that_do_not_fit(tmp_path: Path):
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no PEM")
    (said,) = problems(Settings(postgres_ca=nothing))
    assert "FANFARE_POSTGRES_CA" in said
    assert "-----BEGIN" in said
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    key.chmod(0o644)
    cert = tmp_path / "cert.pem"
    cert.write_text("-----BEGIN CERTIFICATE-----\n")
    (said,) = problems(Settings(tls_cert=cert, tls_key=key))
    assert "FANFARE_TLS_CERT and FANFARE_TLS_KEY" in said
    (remark,) = remarks(Settings(tls_cert=cert, tls_key=key))
    assert "FANFARE_TLS_KEY" in remark
