"""Files in messages: where they are kept, their paths, and what a message says of them."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from fanfare.files.paths import key_of, keys_of, path_of, plain_name
from fanfare.files.store import FileStore, FilesUnavailableError
from fanfare.mentions import Mentioned
from fanfare.model import Channel, User
from fanfare.settings import Settings
from gateway.ingress.attachments import (
    Kept,
    Part,
    Upload,
    attachment,
    content_type_of,
    kept_of,
    resolved,
)
from gateway.ingress.drafts import read_draft, read_edit
from gateway.ingress.errors import ApiError, FormError, RefusedError
from gateway.ingress.message_payloads import build, edited
from gateway.rest.attachments import headers_of
from gateway.rest.multipart import Uploads
from tests import s3

ALICE = User(id=1, username="alice")
CHANNEL = Channel(id=7, guild_id=5)
NOBODY = Mentioned((), (), everyone=False, here=False)
TOKEN = "t" * 22
PATH = path_of(7, 9, TOKEN, "a.png")
FILE = {
    "id": "9", "filename": "a.png", "size": 3, "url": f"http://h/attachments/{PATH}", "content_type": "image/png",
}  # fmt: skip


async def contents(store: FileStore, path: str, part: tuple[int, int] | None = None) -> bytes | None:
    found = await store.open(path, part)
    return None if found is None else b"".join([chunk async for chunk in found.chunks])


async def kept_and_removed(store: FileStore) -> None:
    content = bytes(range(256)) * 1000
    await store.put(PATH, content)
    assert await contents(store, PATH) == content
    assert await contents(store, PATH, (10, 20)) == content[10:20]
    assert await store.size(PATH) == len(content)
    await store.remove(PATH)
    assert (await contents(store, PATH), await store.size(PATH)) == (None, None)
    await store.remove(PATH)  # what is gone already does not matter


async def test_a_folder_keeps_files(tmp_path: Path) -> None:
    """Also in a path with a space; nothing is left of a file that was removed, and others cannot look in."""
    folder = tmp_path / "the files"
    await kept_and_removed(FileStore(Settings(files=str(folder))))
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o077 == 0


async def test_a_bucket_keeps_files() -> None:
    async with s3.bucket() as bucket:
        settings = Settings(
            files="s3://bucket/some/place",
            s3_endpoint=bucket.endpoint,
            s3_region=s3.REGION,
            s3_key=SecretStr(s3.KEY),
            s3_secret=SecretStr(s3.SECRET),
        )
        await FileStore(settings).put("other", b"1")
        assert list(bucket.objects) == ["/bucket/some/place/other"]
        await kept_and_removed(FileStore(settings))
        wrong = settings.model_copy(update={"s3_secret": SecretStr("another")})
        with pytest.raises(FilesUnavailableError):
            await FileStore(wrong).put(PATH, b"1")


def test_where_files_may_be_kept() -> None:
    for where in ("gs://bucket", "s3://", "s3://B", "s3://bucket?x"):
        with pytest.raises(ValidationError, match="must be a folder"):
            Settings(files=where)


@given(st.text(max_size=300))
def test_names_are_plain(name: str) -> None:
    """A name is a part of a path and of a header: nothing in it can be read as anything else."""
    plain = plain_name(name)
    assert key_of(f"https://x/attachments/{path_of(1, 2, TOKEN, plain)}") == path_of(1, 2, TOKEN, plain)
    assert plain not in {".", ".."}
    assert plain_name(plain) == plain


def test_names_keep_their_endings() -> None:
    assert plain_name("../../etc/pass wd.txt") == "pass_wd.txt"
    assert plain_name("ä" * 300 + ".png") == "png"
    assert plain_name("x" * 300 + ".png") == "x" * 96 + ".png"
    assert plain_name("...") == "file"


def test_only_our_own_files_are_removed_with_a_message() -> None:
    reply = {"attachments": [], "referenced_message": {"attachments": [FILE]}}
    assert keys_of(msgspec.json.encode({"attachments": [FILE, {"url": "http://x/y"}]})) == {PATH}
    assert keys_of(msgspec.json.encode(reply)) == set()
    assert keys_of(b'{"attachments":[{') == set()
    assert keys_of(b'{"content":"x","attachments":[]}') == set()


def test_what_of_a_file_could_run_is_only_saved() -> None:
    for name in ("a.svg", "a.html", "a.xhtml", "a.js", "a.pdf", "a.xml", "a", "a.png.html"):
        headers = headers_of(name)
        assert headers["Content-Type"] == "application/octet-stream", name
        assert headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert headers_of("a.png")["Content-Disposition"].startswith("inline")
    assert headers_of("a.txt")["Content-Type"] == "text/plain; charset=utf-8"
    for name in ("a.png", "a.html"):
        assert headers_of(name)["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers_of(name)["Content-Security-Policy"]


PARTS = [Part(1, "über.png", b"123"), Part(4, "b.txt", b"")]


def test_files_and_what_is_said_of_them() -> None:
    """The n of files[n] need not begin at 0; a file that the list does not name is sent, too."""
    draft = read_draft({"attachments": [{"id": 1, "filename": "c d.png", "description": "a cat"}]}, PARTS)
    assert draft.files == (Upload("c_d.png", "c d", "a cat", b"123"), Upload("b.txt", "", "", b""))
    assert read_draft({}, PARTS).files[0].name == "ber.png"
    shown = attachment(draft.files[0], 9, "http://h/x")
    assert (shown["id"], shown["size"], shown["content_type"]) == ("9", 3, "image/png")
    assert (shown["title"], shown["description"]) == ("c d", "a cat")


def test_a_list_that_names_files_that_are_not_there() -> None:
    with pytest.raises(FormError) as raised:
        read_draft({"content": "x", "attachments": [{"id": "7"}]}, PARTS)
    assert list(raised.value.errors or ()) == ["attachments"]


def test_there_are_at_most_ten() -> None:
    with pytest.raises(ApiError) as raised:
        read_edit({"attachments": [{"id": str(n)} for n in range(100, 109)]}, PARTS)
    assert raised.value.code == 30015


def test_what_is_said_of_files_counts_towards_the_size_of_a_message() -> None:
    parts = [Part(n, "a.png", b"") for n in range(10)]
    said = [{"id": n, "description": "ä" * 1024} for n in range(10)]
    assert read_draft({"attachments": said}, parts)
    with pytest.raises(FormError):
        read_draft(
            {"content": "ä" * 2000, "embeds": [{"description": "ä" * 4096}], "attachments": said}, parts
        )


def test_embeds_show_files_of_the_message() -> None:
    embed = {
        "title": "t",
        "image": {"url": "attachment://a.png"},
        "footer": {"text": "attachment://a.png", "icon_url": "attachment://a.png"},
    }
    draft = read_draft({"embeds": [embed]}, [Part(0, "a.png", b"")])
    built = build(9, CHANNEL, ALICE, None, draft, mentioned=NOBODY, attachments=[FILE])
    (shown,) = msgspec.json.decode(built.body)["embeds"]
    assert (shown["image"]["url"], shown["footer"]["icon_url"]) == (FILE["url"], FILE["url"])
    assert shown["footer"]["text"] == "attachment://a.png"
    with pytest.raises(FormError):
        resolved([{"image": {"url": "attachment://other.png"}}], [FILE])
    assert resolved(["attachment://a.png"], [FILE]) == ["attachment://a.png"]


def test_an_edit_keeps_what_it_lists() -> None:
    message = {
        "content": "x", "embeds": [], "components": [], "flags": 0, "attachments": [FILE, FILE | {"id": "10"}],
        "mentions": [],
    }  # fmt: skip
    assert kept_of(message, None) == message["attachments"]
    assert kept_of(message, [Kept(10, "new")]) == [FILE | {"id": "10", "description": "new"}]
    with pytest.raises(FormError):
        kept_of(message, [Kept(11, None)])
    edit = read_edit({"attachments": [{"id": "9", "url": "http://other"}]})
    assert (edit.kept, edit.flags_only) == ((Kept(9, None),), False)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    built = edited(message, edit, now=now, attachments=kept_of(message, edit.kept))
    assert msgspec.json.decode(built.body)["attachments"] == [FILE]
    nothing_left = read_edit({"content": "", "attachments": []})
    with pytest.raises(ApiError) as raised:
        edited(message, nothing_left, now=now, attachments=[])
    assert raised.value.code == 50006


def test_kinds_of_files() -> None:
    assert content_type_of("a.webp") == "image/webp"
    assert content_type_of("a") == "application/octet-stream"


def test_bodies_with_files_take_turns() -> None:
    """All bodies together, and those of one user, are bounded: they are held in memory."""
    uploads = Uploads(most=100, most_of_user=60)
    with uploads.room(1, 60), pytest.raises(RefusedError), uploads.room(1, 1):
        pass
    with uploads.room(1, 60), pytest.raises(RefusedError), uploads.room(2, 41):
        pass
    with uploads.room(1, 60), uploads.room(2, 40):
        pass
    with uploads.room(1, 100):
        pass
