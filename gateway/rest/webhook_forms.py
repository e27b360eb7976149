"""What webhooks are sent in the forms of Slack and of GitHub, as messages of ours. Pure.

Sources: Slack, "Incoming webhooks" and "Reference: secondary message attachments"; GitHub, "Webhook events and
payloads". Of GitHub's events those are told that people want to read of; others are taken and say nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["from_github", "from_slack"]

_MOST_EMBEDS: Final = 10
_MOST_FIELDS: Final = 25
_NAMED: Final = {"good": 0x2EB67D, "warning": 0xECB22E, "danger": 0xE01E5A}


def from_slack(body: Any) -> dict[str, Any]:
    """A message in Slack's form."""
    if not isinstance(body, Mapping):
        return {}
    found: dict[str, Any] = {}
    if isinstance(text := body.get("text"), str):
        found["content"] = text[:2000]
    if isinstance(name := body.get("username"), str):
        found["username"] = name
    if isinstance(icon := body.get("icon_url"), str):
        found["avatar_url"] = icon
    attachments = body.get("attachments")
    if isinstance(attachments, list):
        embeds = [_attachment(one) for one in attachments[:_MOST_EMBEDS] if isinstance(one, Mapping)]
        found["embeds"] = [one for one in embeds if one]
    return found


def from_github(event: str, body: Any) -> dict[str, Any] | None:
    """A message about an event on GitHub; None for one that nobody wants to read of."""
    if not isinstance(body, Mapping):
        return None
    where = _text(body, "repository", "full_name")
    who = _text(body, "sender", "login")
    action = _text(body, "action")
    title, url, text = "", "", ""
    if event == "push":
        commits = body.get("commits")
        listed = [one for one in commits if isinstance(one, Mapping)] if isinstance(commits, list) else []
        if not listed:
            return None
        branch = _text(body, "ref").rpartition("/")[2]
        title = f"[{where}:{branch}] {len(listed)} new commit{'s' if len(listed) > 1 else ''}"
        url = _text(body, "compare")
        text = "\n".join(f"`{_text(one, 'id')[:7]}` {_first(_text(one, 'message'))}" for one in listed[:10])
    elif event in {"issues", "pull_request"}:
        thing = "issue" if event == "issues" else "pull_request"
        name = "Issue" if event == "issues" else "Pull request"
        title = f"[{where}] {name} {action}: #{_text(body, thing, 'number')} {_text(body, thing, 'title')}"
        url, text = _text(body, thing, "html_url"), _text(body, thing, "body")
    elif event in {"issue_comment", "commit_comment", "pull_request_review_comment"}:
        title = f"[{where}] New comment: {_text(body, 'issue', 'title')}".rstrip(": ")
        url, text = _text(body, "comment", "html_url"), _text(body, "comment", "body")
    elif event == "release":
        title = f"[{where}] Release {action}: {_text(body, 'release', 'name')}"
        url = _text(body, "release", "html_url")
    elif event in {"create", "delete", "fork", "watch", "star", "member", "public"}:
        title = f"[{where}] {event} {_text(body, 'ref_type')} {_text(body, 'ref')}".rstrip()
        url = _text(body, "repository", "html_url")
    else:
        return None
    embed: dict[str, Any] = {"title": title[:256], "description": text[:2000]}
    if url:
        embed["url"] = url
    if who:
        embed["author"] = {"name": who[:256]}
    return {"embeds": [embed]}


def _attachment(one: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, theirs, longest in (
        ("title", "title", 256),
        ("url", "title_link", 2000),
        ("description", "text", 4000),
    ):
        if isinstance(value := one.get(theirs), str) and value:
            found[ours] = value[:longest]
    if "description" not in found and isinstance(value := one.get("fallback"), str) and value:
        found["description"] = value[:4000]
    if (color := _color(one.get("color"))) is not None:
        found["color"] = color
    if isinstance(footer := one.get("footer"), str) and footer:
        found["footer"] = {"text": footer[:2000]}
    if isinstance(author := one.get("author_name"), str) and author:
        found["author"] = {"name": author[:256]}
    if isinstance(image := one.get("image_url"), str) and image:
        found["image"] = {"url": image}
    fields = one.get("fields")
    if isinstance(fields, list) and fields:
        found["fields"] = [
            {
                "name": str(field.get("title") or "-")[:256],
                "value": str(field.get("value") or "-")[:1024],
                "inline": bool(field.get("short")),
            }
            for field in fields[:_MOST_FIELDS]
            if isinstance(field, Mapping)
        ]
    return {name: value for name, value in found.items() if value}


def _color(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    if value in _NAMED:
        return _NAMED[value]
    try:
        return int(value.removeprefix("#"), 16) & 0xFFFFFF
    except ValueError:
        return None


def _text(body: Mapping[str, Any], *path: str) -> str:
    found: Any = body
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def _first(text: str) -> str:
    return text.split("\n", 1)[0][:80]
