"""The parts of the ingress put together."""

from functools import partial
from typing import Protocol

from fanfare.bus.growth import GrowthLog
from fanfare.bus.read_since import read_since
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.files.store import FileStore
from fanfare.presence.client import Redis
from fanfare.presence.loss_token import LossToken
from fanfare.presence.scripts import SWAP
from fanfare.settings import Settings
from gateway.ingress import reactions
from gateway.ingress.access import Access
from gateway.ingress.applied import Applied
from gateway.ingress.history import History
from gateway.ingress.ingress import Ingress
from gateway.ingress.interfaces import Guilds, Ids, Log, Stored
from gateway.ingress.limits import RateLimits
from gateway.ingress.nonce_rebuild import NonceRebuild
from gateway.ingress.nonces import SETTLE, Nonces
from gateway.ingress.pinning import Pinning
from gateway.ingress.purge import Purge
from gateway.ingress.reacting import Reacting
from gateway.ingress.recent import PUT
from gateway.ingress.redis_batch import RedisBatch
from gateway.ingress.sends import Sends
from gateway.ingress.slow_mode import SlowMode
from gateway.ingress.threads import Stored as StoredThreads
from gateway.ingress.threads import Threads
from gateway.ingress.uploads import UploadStore
from gateway.ingress.webhooks import WebhookMessages
from gateway.interactions.assembly import assemble_interactions
from gateway.interactions.state import CLAIM

__all__ = ["assemble"]


class StoredInAll(Stored, StoredThreads, Protocol):
    """The database: `fanfare.store.Store`."""


def assemble(
    settings: Settings,
    *,
    log: Log,
    redis: Redis,
    loss: LossToken,
    store: StoredInAll,
    ids: Ids,
    guilds: Guilds,
    files: FileStore,
    node: str,
    growth: GrowthLog | None = None,
) -> Ingress:
    """The ingress of a node, not started yet.

    Args:
        settings: where Kafka is, and how many messages somebody may send.
        log: Kafka.
        redis: Redis.
        loss: of that client.
        store: messages in the database.
        ids: snowflakes.
        guilds: what this node knows.
        files: where files are kept.
        node: this process's, whose lease in Redis says that it lives.
        growth: what is known of topics that grow.

    """
    batch = RedisBatch(redis, [PUT, SETTLE, SWAP, reactions.PUT, CLAIM])
    history = History(store, batch)
    rebuild = NonceRebuild(redis, partial(read_since, settings, CHAT_EVENTS), growth)
    nonces = Nonces(redis, batch, loss, node, rebuild.unless_complete)
    access = Access(guilds, store)
    sends = Sends(log=log, batch=batch, nonces=nonces, ids=ids, node=node, exists=history.exists)
    reacting = Reacting(
        access=access,
        guilds=guilds,
        history=history,
        seen=reactions.Seen(store, batch),
        sends=sends,
        limits=RateLimits(settings.send_limit, what="reactions"),
    )
    uploads = UploadStore(files, store, ids, settings.public_rest())
    limits = RateLimits(settings.send_limit)
    applied = Applied(redis, guilds)
    threads = Threads(store, applied)
    return Ingress(
        access=access,
        applied=applied,
        threads=threads,
        history=history,
        reacting=reacting,
        pinning=Pinning(access, history, sends),
        interactions=assemble_interactions(
            settings,
            access=access,
            guilds=guilds,
            history=history,
            store=store,
            sends=sends,
            batch=batch,
            uploads=uploads,
        ),
        sends=sends,
        limits=limits,
        purge=Purge(store, batch, sends),
        slow_mode=SlowMode(batch),
        uploads=uploads,
        webhooks=WebhookMessages(
            access=access,
            guilds=guilds,
            threads=threads,
            history=history,
            sends=sends,
            uploads=uploads,
            limits=limits,
        ),
        nonces=rebuild,
        batch=batch,
    )
