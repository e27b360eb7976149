"""What is known of interactions while they can be answered: in Redis, so that any node takes the answer.

An interaction is as short-lived as its token. If Redis loses it, the application cannot answer it any more, and the
user tries again; nothing that was said before is lost.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fanfare.payloads import Json
from fanfare.presence import keys
from fanfare.presence.client import Pipeline
from fanfare.presence.errors import RedisError
from fanfare.presence.scripts import Script
from fanfare.tokens import Signer
from gateway.ingress.errors import ApiError, RefusedError
from gateway.ingress.redis_batch import RedisBatch

__all__ = ["CLAIM", "TOKEN_S", "Interaction", "State", "TokensOf", "unknown_interaction", "unknown_webhook"]

CLAIM: Final = Script("interaction_claim")
TOKEN_S: Final = 15 * 60
_EPHEMERAL_S: Final = 60 * 60

_encode = msgspec.json.Encoder().encode


def unknown_interaction() -> ApiError:
    """There is none, its time is over, or its token is wrong."""
    return ApiError(404, 10062, "Unknown interaction")


def unknown_webhook() -> ApiError:
    """There is no such webhook, or its token is wrong or too old."""
    return ApiError(404, 10015, "Unknown Webhook")


class Interaction(msgspec.Struct, kw_only=True, frozen=True):
    """What the answers to an interaction need to know of it."""

    id: int
    type: int
    application: int
    user: int
    guild: int
    channel: int
    name: str = ""
    """Of the command."""
    message: int = 0
    """The message of the component, or of the one that opened the dialogue."""
    ephemeral: bool = False
    """Only the user has that message."""
    nonce: str | int | None = None


_interaction = msgspec.json.Decoder(Interaction)


class TokensOf:
    """Tokens of interactions: the id, signed. They have a dot, and webhooks' have none."""

    def __init__(self, secret: str) -> None:
        """Args: secret: what FANFARE_SECRET holds."""
        self._signer = Signer(secret, b"fanfare interaction 1")

    def issue(self, ident: int) -> str:
        """The token of an interaction."""
        text = _text(str(ident).encode())
        return f"{text}.{_text(self._signer.sign(text.encode()))}"

    def verify(self, token: str) -> int | None:
        """The interaction of a token; None: it is none of ours."""
        text, _, signature = token.partition(".")
        if not token.isascii() or not self._signer.verifies(text.encode(), signature, _text):
            return None
        return int(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class State:
    """Interactions in Redis. Everything raises RefusedError while Redis is away."""

    def __init__(self, batch: RedisBatch) -> None:
        self._batch = batch

    async def begin(self, interaction: Interaction) -> None:
        """Note a new one."""
        key = keys.interaction(interaction.id)

        def queue(pipe: Pipeline) -> None:
            _ = pipe.hset(key, "made", _encode(interaction))
            _ = pipe.pexpire(key, TOKEN_S * 1000)

        await self._run(queue)

    async def find(self, ident: int) -> tuple[Interaction, dict[str, str]] | None:
        """One, and what is noted of its answers; None: there is none, or its time is over."""

        def queue(pipe: Pipeline) -> None:
            _ = pipe.hgetall(keys.interaction(ident))

        found = (await self._run(queue))[0]
        if b"made" not in found:
            return None
        notes = {name.decode(): value.decode() for name, value in found.items() if name != b"made"}
        return _interaction.decode(found[b"made"]), notes

    async def claim(self, ident: int, kind: int) -> None:
        """Take the one answer that there is. Raises: ApiError: 40060, it was taken; 10062."""
        key = keys.interaction(ident)
        claimed = (await self._run(lambda pipe: CLAIM.queue(pipe, [key], [kind])))[0]
        if claimed == 0:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        if claimed < 0:
            raise unknown_interaction()

    async def give_back(self, ident: int) -> None:
        """The answer was refused: another one may be tried."""

        def queue(pipe: Pipeline) -> None:
            _ = pipe.hdel(keys.interaction(ident), "answer")

        await self._run(queue)

    async def note(self, ident: int, **notes: str) -> None:
        """Note something of the answers."""

        def queue(pipe: Pipeline) -> None:
            for name, value in notes.items():
                _ = pipe.hset(keys.interaction(ident), name, value)

        await self._run(queue)

    async def ephemeral(self, message: int) -> bytes | None:
        """A message that only one user has; None: there is none, or it was long ago."""

        def queue(pipe: Pipeline) -> None:
            _ = pipe.get(keys.ephemeral(message))

        found: bytes | None = (await self._run(queue))[0]
        return found

    async def _run(self, queue: Any) -> Sequence[Any]:
        try:
            return await self._batch.run(queue)
        except RedisError as error:
            raise RefusedError("Redis is away") from error


def put_ephemeral(pipe: Pipeline, offset: int, *, message: int, body: bytes) -> None:
    """Queue keeping a message that only one user has, or, if it is empty, dropping it."""
    del offset
    if body:
        _ = pipe.set(keys.ephemeral(message), body, px=_EPHEMERAL_S * 1000)
    else:
        _ = pipe.delete(keys.ephemeral(message))


def flags_of(data: Json) -> int:
    """The flags that an application asks for, whatever they are."""
    flags = data.get("flags")
    return flags if isinstance(flags, int) and not isinstance(flags, bool) else 0
