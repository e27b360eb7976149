"""A message after an edit, with its files."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fanfare.mentions import Mentioned
from fanfare.model import User
from fanfare.payloads import Json
from gateway.ingress.attachments import MAX_FILES, kept_of, too_many
from gateway.ingress.drafts import Edit
from gateway.ingress.message_payloads import Built, edited
from gateway.ingress.uploads import UploadStore

__all__ = ["rewriting"]


@asynccontextmanager
async def rewriting(
    uploads: UploadStore,
    channel_id: int,
    message: Json,
    edit: Edit,
    *,
    mentioned: Mentioned | None,
    users: Sequence[User],
) -> AsyncIterator[Built]:
    """Store the files that an edit adds; if it is refused in the block, they go.

    Args:
        uploads: stores them.
        channel_id: where the message is.
        message: as it was.
        edit: the changes.
        mentioned: whom it mentions in effect, where that changes.
        users: of these, those that exist.

    Returns:
        What it is from then on.

    Raises:
        FormError, ApiError: as `edited`; there are too many files.
        RefusedError: they are not stored.

    """
    files = kept_of(message, edit.kept)
    if len(files) + len(edit.files) > MAX_FILES:
        raise too_many()
    uploaded = await uploads.keep(channel_id, edit.files)
    async with uploads.kept(uploaded):
        yield edited(
            message,
            edit,
            now=datetime.now(UTC),
            mentioned=mentioned,
            mentioned_users=users,
            attachments=[*files, *uploaded],
        )
