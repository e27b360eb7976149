"""What a client may ask for: every REST route with a good body, every op with a good `d`.

A route or an op that is new has to be added here: the test fails without.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.protocol.codes import Op
from gateway.rest.app import ROUTES

__all__ = ["BODIES", "EDIT", "LARGE", "OPS", "REST", "TELLS"]

_EMBED: Final = {
    "title": "a title",
    "description": "words",
    "url": "https://example.org/",
    "color": 255,
    "timestamp": "2026-01-01T00:00:00Z",
    "footer": {"text": "a footer", "icon_url": "https://example.org/i.png"},
    "author": {"name": "an author", "url": "https://example.org/"},
    "image": {"url": "https://example.org/i.png"},
    "thumbnail": {"url": "https://example.org/i.png"},
    "fields": [{"name": "a field", "value": "its value", "inline": True}],
}
_EMOJI: Final = {"id": None, "name": "\U0001f525"}
_BUTTON: Final = {
    "type": 2,
    "style": 1,
    "label": "press",
    "custom_id": "b",
    "emoji": _EMOJI,
    "disabled": False,
}
_LINK: Final = {"type": 2, "style": 5, "label": "look", "url": "https://example.org/"}
_SELECT: Final = {
    "type": 3,
    "custom_id": "s",
    "placeholder": "choose",
    "min_values": 1,
    "max_values": 2,
    "options": [
        {"label": "one", "value": "1", "description": "first", "default": True},
        {"label": "two", "value": "2"},
    ],
}
_ROWS: Final = [{"type": 1, "components": [_BUTTON, _LINK]}, {"type": 1, "components": [_SELECT]}]
_LAYOUT: Final = [
    {
        "type": 17,
        "accent_color": 1,
        "components": [
            {"type": 10, "content": "text"},
            {"type": 14, "divider": True, "spacing": 1},
            {
                "type": 9,
                "components": [{"type": 10, "content": "more"}],
                "accessory": {"type": 11, "media": {"url": "https://example.org/i.png"}},
            },
            {
                "type": 12,
                "items": [{"media": {"url": "https://example.org/i.png"}, "description": "a picture"}],
            },
        ],
    }
]
_MESSAGE: Final = {
    "content": "hello <@ME> <@&ROLE> <#CHANNEL>",
    "nonce": "n",
    "enforce_nonce": False,
    "tts": False,
    "flags": 0,
    "embeds": [_EMBED],
    "allowed_mentions": {"parse": ["roles"], "users": ["ME"], "replied_user": True},
    "message_reference": {"message_id": "MESSAGE", "channel_id": "CHANNEL", "fail_if_not_exists": False},
    "components": _ROWS,
    "sticker_ids": [],
    "attachments": [],
}
_V2: Final = {"flags": 1 << 15, "components": _LAYOUT}
_OVERWRITE: Final = {"id": "ROLE", "type": 0, "allow": "1024", "deny": "2048"}
_CHANNEL: Final = {
    "name": "a-channel",
    "topic": "words",
    "position": 1,
    "nsfw": False,
    "rate_limit_per_user": 0,
    "parent_id": None,
    "permission_overwrites": [_OVERWRITE],
}
_ROLE: Final = {
    "name": "a role",
    "permissions": "1024",
    "color": 1,
    "colors": {"primary_color": 1, "secondary_color": None, "tertiary_color": None},
    "hoist": False,
    "mentionable": False,
}

_COMMAND: Final = {
    "name": "ping",
    "description": "answers",
    "options": [
        {
            "type": 3,
            "name": "how",
            "description": "words",
            "required": True,
            "choices": [{"name": "well", "value": "well"}],
        },
        {"type": 4, "name": "often", "description": "a number", "min_value": 1, "max_value": 5},
    ],
}

_THREAD: Final = {"name": "a thread", "auto_archive_duration": 60, "rate_limit_per_user": 5}

# Good bodies of the routes that read one. Words in capitals stand for ids.
BODIES: Final[Mapping[tuple[str, str], list[Any]]] = {
    **{
        (method, f"/applications/{{application}}/{place}commands{path}"): [body]
        for place in ("", "guilds/{guild}/")
        for method, path, body in (
            ("PUT", "", [_COMMAND]),
            ("POST", "", _COMMAND),
            ("PATCH", "/{command}", _COMMAND),
        )
    },
    ("PUT", "/applications/{application}/guilds/{guild}/commands/{command}/permissions"): [
        {"permissions": [{"id": "ROLE", "type": 1, "permission": True}]}
    ],
    ("POST", "/interactions"): [
        {
            "type": 2,
            "application_id": "OTHER",
            "channel_id": "CHANNEL",
            "message_id": "MESSAGE",
            "nonce": "n",
            "data": {"name": "ping", "type": 1, "options": [{"name": "how", "value": "well"}]},
        }
    ],
    ("POST", "/interactions/{interaction}/{token}/callback"): [{"type": 4, "data": _MESSAGE}],
    ("POST", "/webhooks/{webhook}/{token}"): [
        _MESSAGE | {"username": "a name", "avatar_url": "https://example.org/i.png"}
    ],
    ("POST", "/webhooks/{webhook}/{token}/slack"): [
        {
            "text": "words",
            "username": "a name",
            "attachments": [{"title": "a title", "text": "words", "color": "good"}],
        }
    ],
    ("POST", "/webhooks/{webhook}/{token}/github"): [
        {"action": "opened", "issue": {"number": 1, "title": "a title"}}
    ],
    ("PATCH", "/webhooks/{webhook}/{token}"): [{"name": "a name"}],
    ("PATCH", "/webhooks/{webhook}"): [{"name": "a name", "channel_id": "CHANNEL"}],
    ("POST", "/channels/{channel}/messages/{message}/threads"): [_THREAD],
    ("POST", "/channels/{channel}/threads"): [
        _THREAD | {"type": 11},
        _THREAD | {"type": 12, "invitable": True},
    ],
    ("PUT", "/channels/{channel}/thread-members/@me"): [{}],
    ("PUT", "/channels/{channel}/thread-members/{user}"): [{}],
    ("POST", "/channels/{channel}/messages/{message}/crosspost"): [{}],
    ("POST", "/channels/{channel}/webhooks"): [{"name": "a name", "avatar": None}],
    ("PATCH", "/webhooks/{webhook}/{token}/messages/@original"): [_MESSAGE],
    ("PATCH", "/webhooks/{webhook}/{token}/messages/{message}"): [_MESSAGE],
    ("PATCH", "/channels/{channel}"): [_CHANNEL],
    ("PUT", "/channels/{channel}/permissions/{target}"): [{"type": 0, "allow": "1024", "deny": "0"}],
    ("POST", "/guilds"): [{"name": "a guild"}],
    ("PATCH", "/guilds/{guild}"): [{"name": "a guild"}],
    ("POST", "/guilds/{guild}/channels"): [
        _CHANNEL | {"type": 0},
        _CHANNEL | {"type": 15, "available_tags": [{"name": "a tag", "moderated": True, "emoji_name": "x"}]},
    ],
    ("PATCH", "/guilds/{guild}/channels"): [[{"id": "CHANNEL", "position": 1, "parent_id": None}]],
    ("PATCH", "/guilds/{guild}/members/@me"): [{"nick": "a nick"}],
    ("PATCH", "/guilds/{guild}/members/@me/nick"): [{"nick": "a nick"}],
    ("PUT", "/guilds/{guild}/members/{user}"): [
        {"access_token": "none", "nick": "a nick", "roles": ["ROLE"]}
    ],
    # Of nobody: the others have to stay.
    ("PUT", "/guilds/{guild}/bans/{user}"): [{"delete_message_seconds": 60}],
    ("POST", "/guilds/{guild}/emojis"): [
        {"name": "wave", "image": "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "roles": []}
    ],
    ("PATCH", "/guilds/{guild}/emojis/{picture}"): [{"name": "waves"}],
    ("POST", "/guilds/{guild}/prune"): [{"days": 7, "include_roles": [], "compute_prune_count": True}],
    ("POST", "/guilds/{guild}/bulk-ban"): [{"user_ids": ["1"], "delete_message_seconds": 60}],
    ("POST", "/channels/{channel}/invites"): [{"max_age": 60, "max_uses": 1, "unique": False}],
    ("POST", "/invites/{code}"): [{"session_id": None}],
    ("PATCH", "/guilds/{guild}/members/{user}"): [{"nick": "a nick", "roles": ["ROLE"]}],
    ("PUT", "/guilds/{guild}/members/{user}/roles/{role}"): [{}],
    ("POST", "/channels/{channel}/messages"): [_MESSAGE, _V2],
    ("PATCH", "/channels/{channel}/messages/{message}"): [_MESSAGE, _V2],
    ("POST", "/channels/{channel}/messages/bulk-delete"): [{"messages": ["MESSAGE", "1"]}],
    ("POST", "/channels/{channel}/typing"): [{}],
    ("PUT", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me"): [{}],
    ("PUT", "/channels/{channel}/messages/pins/{message}"): [{}],
    ("PUT", "/channels/{channel}/pins/{message}"): [{}],
    ("POST", "/guilds/{guild}/roles"): [_ROLE],
    ("PATCH", "/guilds/{guild}/roles"): [[{"id": "ROLE", "position": 1}]],
    ("PATCH", "/guilds/{guild}/roles/{role}"): [_ROLE],
    ("POST", "/users/@me/channels"): [{"recipient_id": "OTHER", "recipients": ["OTHER"]}],
}

_EMOJIS: Final = "/channels/{channel}/messages/{message}/reactions/{emoji}"
EDIT: Final = ("PATCH", "/channels/{channel}/messages/{message}")

_WIDE: Final = "\U0001f525"
_LONG_URL: Final = "https://example.org/" + "x" * 1900
# Edits that are good and large: one after the other, they would make a message of far more bytes than it may have.
LARGE: Final[list[Any]] = [
    {"content": _WIDE * 2000},
    {"embeds": [_EMBED | {"url": _LONG_URL, "image": {"url": _LONG_URL}}] * 5},
    {"embeds": [{"description": _WIDE * 4000}]},
    {
        "components": [
            {
                "type": 1,
                "components": [
                    {"type": 2, "style": 1, "label": _WIDE * 80, "custom_id": f"{row}{place}" + _WIDE * 95}
                    for place in range(5)
                ],
            }
            for row in range(5)
        ]
    },
    {"content": None, "embeds": [], "components": _ROWS},
]

REST: Final = [(route.method, route.path) for route in ROUTES]
"""Every route."""

# What each route writes to chat.events when it answers 2xx; nothing else may write there.
TELLS: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "/channels/{channel}/messages"): "MESSAGE_CREATE",
    ("PATCH", "/channels/{channel}/messages/{message}"): "MESSAGE_UPDATE",
    ("DELETE", "/channels/{channel}/messages/{message}"): "MESSAGE_DELETE",
    ("POST", "/channels/{channel}/messages/bulk-delete"): "MESSAGE_DELETE_BULK",
    ("POST", "/channels/{channel}/typing"): "TYPING_START",
    **{
        (method, f"/channels/{{channel}}/{path}pins/{{message}}"): "MESSAGE_UPDATE"
        for path in ("messages/", "")
        for method in ("PUT", "DELETE")
    },
    ("PUT", _EMOJIS + "/@me"): "MESSAGE_REACTION_ADD",
    ("DELETE", _EMOJIS + "/@me"): "MESSAGE_REACTION_REMOVE",
    ("DELETE", _EMOJIS + "/{user}"): "MESSAGE_REACTION_REMOVE",
    ("DELETE", _EMOJIS): "MESSAGE_REACTION_REMOVE_EMOJI",
    ("DELETE", "/channels/{channel}/messages/{message}/reactions"): "MESSAGE_REACTION_REMOVE_ALL",
}

_REQUEST: Final = {
    "guild_id": "GUILD", "query": "", "limit": 0, "user_ids": ["ME"], "nonce": "n", "presences": False,
}  # fmt: skip
OPS: Final[Mapping[int, Any]] = {
    Op.HEARTBEAT: 1,
    Op.IDENTIFY: {"token": "TOKEN", "intents": 513, "shard": [0, 1], "properties": {}, "compress": True},
    Op.PRESENCE_UPDATE: {"since": None, "activities": [], "status": "online", "afk": False},
    Op.VOICE_STATE_UPDATE: {"guild_id": "GUILD", "channel_id": None, "self_mute": False, "self_deaf": False},
    Op.RESUME: {"token": "TOKEN", "session_id": "a session", "seq": 5},
    Op.REQUEST_GUILD_MEMBERS: _REQUEST,
    Op.REQUEST_SOUNDBOARD_SOUNDS: {"guild_ids": ["GUILD"]},
    Op.REQUEST_CHANNEL_INFO: {"guild_id": "GUILD"},
    Op.SEND: _MESSAGE | {"channel_id": "CHANNEL"},
    Op.LOCATE: {
        "nonce": "n",
        "entity_id": "MESSAGE",
        "lat": 52.5,
        "lon": 13.4,
        "at": "2026-01-01T00:00:00Z",
        "seq": 1,
        "accuracy_m": 5,
        "heading_deg": 90,
        "speed_mps": 3,
    },
    Op.WATCH: {"nonce": "n", "entities": ["MESSAGE", "1"], "area": {"bbox": [13.0, 52.0, 14.0, 53.0]}},
}
"""Every op that a client may send, with a good `d`."""
