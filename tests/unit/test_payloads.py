"""Every object carries the keys that client libraries need (docs/clients.md, "Objects")."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from fanfare import payloads
from fanfare.model import CATEGORY, DM, Channel, Guild, Member, Overwrite, Role, User

ALICE = User(id=10**17, username="alice")
BOT = User(id=10**17 + 1, username="bot", bot=True)
JOINED = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
MEMBER = Member(user=ALICE, roles=(7,), joined_at=JOINED)
TEXT = Channel(id=5, guild_id=1, name="general", overwrites=(Overwrite(1, 0, 1024, 2048),))
GUILD = Guild(
    id=1,
    name="g",
    owner_id=ALICE.id,
    member_count=1,
    roles={1: Role(id=1, name="@everyone", permissions=1 << 40)},
    channels={5: TEXT},
)


def needs(found: payloads.Json, keys: str) -> None:
    assert set(keys.split()) - found.keys() == set()


def test_users() -> None:
    needs(payloads.user(ALICE), "id username discriminator avatar global_name bot public_flags")
    assert payloads.user(ALICE)["id"] == str(ALICE.id)
    needs(payloads.own_user(BOT), "id bot flags mfa_enabled verified email locale")
    assert payloads.own_user(BOT)["bot"] is True


def test_members() -> None:
    found = payloads.member(MEMBER)
    needs(
        found,
        "user roles joined_at flags nick avatar deaf mute pending premium_since communication_disabled_until",
    )
    assert found["roles"] == ["7"]
    assert found["joined_at"] == "2026-01-01T10:00:00.000000+00:00"
    assert "user" not in payloads.member(MEMBER, with_user=False)


def test_times_always_have_microseconds_and_an_offset() -> None:
    assert payloads.timestamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000+00:00"
    assert payloads.timestamp(datetime(2026, 1, 1)) == "2026-01-01T00:00:00.000000+00:00"  # noqa: DTZ001


def test_roles_and_overwrites_hold_permissions_as_strings() -> None:
    found = payloads.role(GUILD.roles[1])
    needs(
        found, "id name color colors hoist position permissions managed mentionable flags icon unicode_emoji"
    )
    assert found["permissions"] == str(1 << 40)
    needs(found["colors"], "primary_color secondary_color tertiary_color")
    assert payloads.overwrite(TEXT.overwrites[0]) == {"id": "1", "type": 0, "allow": "1024", "deny": "2048"}


def test_channels() -> None:
    common = "id type guild_id position name permission_overwrites nsfw parent_id flags"
    needs(payloads.channel(TEXT), common + " topic last_message_id rate_limit_per_user last_pin_timestamp")
    needs(payloads.channel(Channel(id=6, type=2, guild_id=1, name="v")), common + " bitrate user_limit")
    needs(payloads.channel(Channel(id=6, type=CATEGORY, guild_id=1, name="c")), common)


def test_direct_channels_show_the_other_one() -> None:
    direct = Channel(id=9, type=DM, recipients=(ALICE, BOT))
    found = payloads.channel(direct, to=BOT.id)
    needs(found, "id type recipients last_message_id flags")
    assert [one["id"] for one in found["recipients"]] == [str(ALICE.id)]
    assert len(payloads.channel(direct)["recipients"]) == 2
    assert "guild_id" not in found


def test_guilds() -> None:
    keys = (
        "id name icon description splash banner owner_id application_id afk_channel_id afk_timeout system_channel_id "
        "system_channel_flags verification_level default_message_notifications mfa_level explicit_content_filter "
        "vanity_url_code premium_tier preferred_locale rules_channel_id public_updates_channel_id nsfw_level features "
        "emojis stickers roles max_members max_presences"
    )
    needs(payloads.guild(GUILD), keys)
    found = payloads.guild_create(GUILD, [TEXT], [MEMBER], joined_at=JOINED, large=False)
    needs(found, keys)
    needs(
        found,
        "channels members threads presences voice_states unavailable member_count large joined_at stage_instances "
        "guild_scheduled_events soundboard_sounds",
    )
    assert found["unavailable"] is False
    assert payloads.unavailable_guild(1) == {"id": "1", "unavailable": True}
    msgspec.json.encode(found)
