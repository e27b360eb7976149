"""What the gateway's port says to plain HTTP."""

import pytest

from gateway.listening import http_answers


@pytest.mark.parametrize("path", ["/healthz", "/healthz?from=balancer"])
@pytest.mark.parametrize(("healthy", "status"), [(True, b"200 OK"), (False, b"503 Service Unavailable")])
def test_c4_healthz_says_whether_sockets_are_taken(path, healthy, status):
    got, said = (
        http_answers.answer("GET", path, healthy=healthy),
        http_answers.answer("HEAD", path, healthy=healthy),
    )
    assert got.startswith(b"HTTP/1.1 " + status + b"\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert body
    assert said == head + b"\r\n\r\n", "the same without a body, or the client reads it as the next answer"
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"Connection: close" in head


@pytest.mark.parametrize("path", ["/", "/gateway/", "/gateway/?v=10", "/healthz/", "/metrics"])
def test_c4_anything_else_is_told_to_upgrade(path):
    got = http_answers.answer("GET", path, healthy=True)
    assert got.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"\r\nUpgrade: websocket\r\n" in got


def test_c4_health_is_asked_and_not_posted():
    assert http_answers.answer("POST", "/healthz", healthy=True).startswith(b"HTTP/1.1 405 ")


def test_c4_a_node_that_stops_sends_clients_elsewhere():
    assert http_answers.answer("GET", "/gateway/", healthy=False).startswith(b"HTTP/1.1 503 ")
