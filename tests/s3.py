"""A server that speaks as much of S3 as files need, and checks what a real one checks: the signature of each request.

No S3 server comes as a package that tests could start. The library that signs the requests is the real one.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

KEY, SECRET, REGION = "a key", "a secret", "eu-test-1"


class Bucket:
    """What is in the one bucket, and where it is."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.endpoint = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        body = await request.read()
        if not _signed(request, body):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        name = request.path
        if request.method == "PUT":
            self.objects[name] = body
            return web.Response(headers={"ETag": '"1"'})
        if request.method == "POST":  # DeleteObjects
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for key in keys:
                self.objects.pop(f"/bucket/{key}", None)
            said = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return web.Response(text=f"<DeleteResult>{said}</DeleteResult>", content_type="application/xml")
        if name not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        if request.method == "DELETE":
            del self.objects[name]
            return web.Response(status=204)
        content = self.objects[name]
        headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        part = request.http_range
        if part.start is not None:
            stop = min(part.stop or len(content), len(content))
            headers["Content-Range"] = f"bytes {part.start}-{stop - 1}/{len(content)}"
            return web.Response(status=206, body=content[part.start : stop], headers=headers)
        return web.Response(body=content, headers=headers)


@asynccontextmanager
async def bucket() -> AsyncIterator[Bucket]:
    """A running server with an empty bucket named `bucket`."""
    found = Bucket()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def _signed(request: web.Request, body: bytes) -> bool:
    """Amazon's signature, version 4."""
    says = dict(
        part.strip().split("=", 1) for part in request.headers["Authorization"].partition(" ")[2].split(",")
    )
    names = says["SignedHeaders"].split(";")
    content = request.headers["x-amz-content-sha256"]
    if content != "UNSIGNED-PAYLOAD" and content != hashlib.sha256(body).hexdigest():
        return False
    query = "&".join(f"{quote(k, '')}={quote(v, '')}" for k, v in sorted(request.query.items()))
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    canonical = "\n".join(
        (request.method, request.raw_path.partition("?")[0], query, headers, ";".join(names), content)
    )
    moment = request.headers["x-amz-date"]
    scope = says["Credential"].partition("/")[2]
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return says["Credential"].startswith(KEY) and hmac.compare_digest(
        hmac.digest(key, text.encode(), "sha256").hex(), says["Signature"]
    )
