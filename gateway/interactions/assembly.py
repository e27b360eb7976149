"""The parts of interactions put together."""

from typing import NamedTuple

from fanfare.settings import Settings
from gateway.ingress.access import Access
from gateway.ingress.history import History
from gateway.ingress.interfaces import Guilds, Stored
from gateway.ingress.limits import RateLimits
from gateway.ingress.redis_batch import RedisBatch
from gateway.ingress.sends import Sends
from gateway.ingress.uploads import UploadStore
from gateway.interactions.invoke import Invoking
from gateway.interactions.respond import Responding
from gateway.interactions.state import State, TokensOf

__all__ = ["Interactions", "assemble_interactions"]


class Interactions(NamedTuple):
    """What users do with applications, and what these answer."""

    invoking: Invoking
    responding: Responding


def assemble_interactions(
    settings: Settings,
    *,
    access: Access,
    guilds: Guilds,
    history: History,
    store: Stored,
    sends: Sends,
    batch: RedisBatch,
    uploads: UploadStore,
) -> Interactions:
    """The interactions of a node. Arguments as of `Invoking`; settings: the secret; batch: Redis; uploads: files."""
    state, tokens = State(batch), TokensOf(settings.secret.get_secret_value())
    limits = RateLimits(settings.send_limit, what="interactions")
    return Interactions(
        Invoking(
            access=access,
            guilds=guilds,
            history=history,
            store=store,
            sends=sends,
            state=state,
            tokens=tokens,
            limits=limits,
        ),
        Responding(
            access=access,
            guilds=guilds,
            history=history,
            sends=sends,
            state=state,
            tokens=tokens,
            uploads=uploads,
        ),
    )
