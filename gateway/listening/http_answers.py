"""What the gateway's port says to plain HTTP: load balancers ask there whether new sockets are taken. Pure."""

from typing import Final

__all__ = ["NOT_HTTP", "TOO_LARGE", "answer"]


def _response(status: str, text: str, *headers: str, body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(text)}",
        "Connection: close",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + (text if body else "")).encode()


TOO_LARGE: Final = _response("431 Request Header Fields Too Large", "the request has too many headers\n")
NOT_HTTP: Final = _response("400 Bad Request", "this is a websocket, and what came is no handshake\n")


def answer(method: str, path: str, *, healthy: bool) -> bytes:
    """The whole answer, to be followed by a close.

    Args:
        method: of the request; HEAD has no body.
        path: with the query.
        healthy: whether a load balancer is to send clients here.

    """
    body = method != "HEAD"
    if path.partition("?")[0] != "/healthz":
        if not healthy:
            return _response("503 Service Unavailable", "this node stops\n", "Retry-After: 1", body=body)
        text = "this is a websocket: connect with ws:// or wss://\n"
        return _response("426 Upgrade Required", text, "Upgrade: websocket", body=body)
    if method not in {"GET", "HEAD"}:
        return _response("405 Method Not Allowed", "ask with GET or HEAD\n", "Allow: GET, HEAD")
    if healthy:
        return _response("200 OK", "ok\n", body=body)
    return _response("503 Service Unavailable", "this node stops\n", "Retry-After: 1", body=body)
