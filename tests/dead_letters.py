"""Dead letters, made as a version made them that could not handle a record."""

import json

from fanfare.bus.deadletters import DeadLetters
from fanfare.bus.producer import partition_of
from fanfare.ids import snowflake_ms
from fanfare.record import Position, Record
from tests.world import next_id, settings_of


def message(world, text: str, *, minutes_ago: int = 0) -> Record:
    """A message as a gateway makes it."""
    channel, author = world.channels[0], world.people[0]
    ident = next_id() - (minutes_ago * 60_000 << 22)
    body = {
        "id": str(ident), "type": 0, "channel_id": str(channel), "guild_id": str(world.guild), "content": text,
        "author": {"id": str(author.id), "username": author.name, "discriminator": "0", "avatar": None},
        "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "tts": False, "mention_everyone": False,
        "mentions": [], "mention_roles": [], "attachments": [], "embeds": [], "pinned": False, "components": [],
    }  # fmt: skip
    return Record(
        type="MESSAGE_CREATE",
        id=ident,
        at=snowflake_ms(ident),
        guild=world.guild,
        channel=channel,
        author=author.id,
        nonce=text,
        payload=json.dumps(body).encode(),
    )


async def set_aside(stack, group: str, topic: str, record: Record, offset: int) -> Position:
    """As a version did that could not handle the record."""
    settings = settings_of(stack)
    partition = partition_of(record.channel, settings.chat_partitions)
    letters = DeadLetters(settings, group, [topic])
    position = Position(topic, partition, offset)
    try:
        await letters.write(
            position,
            headers=record.headers(),
            value=record.payload,
            key=str(record.channel).encode(),
            appended_ms=snowflake_ms(record.id) + 5,
            error=TypeError("it could not"),
        )
    finally:
        await letters.stop()
    return position
