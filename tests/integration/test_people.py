"""`fanfare user`, `token`, `guild` and `channel` on real stores."""

import json
import uuid

import pytest

from fanfare.tokens import Tokens

pytestmark = pytest.mark.system


@pytest.fixture
def name():
    return f"p{uuid.uuid4().hex[:12]}"


def test_from_a_user_to_a_channel(stores, name):
    owner = json.loads(stores.command("user", "create", name, "--json").stdout)
    bot = json.loads(stores.command("user", "create", f"{name}-bot", "--bot", "--json").stdout)
    assert bot["bot"]
    tokens = Tokens(stores.store_settings()["FANFARE_SECRET"])
    assert tokens.verify(owner["token"]) == (int(owner["id"]), 0)
    assert tokens.verify(stores.command("token", name).stdout.strip()) == (int(owner["id"]), 0)
    stores.command("token", "revoke", name)
    assert tokens.verify(stores.command("token", name).stdout.strip()) == (int(owner["id"]), 1)

    guild = json.loads(stores.command("guild", "create", name, "--owner", name, "--json").stdout)
    added = stores.command("guild", "add", name, bot["id"])
    assert "is in" in added.stdout
    assert "was in" in stores.command("guild", "add", guild["id"], f"{name}-BOT").stdout
    # No gateway runs here: it is said, and relayed when one does.
    assert "no gateway" in added.stderr
    channel = json.loads(stores.command("channel", "create", name, "news", "--json").stdout)
    listed = {each["id"]: each for each in json.loads(stores.command("guild", "list", "--json").stdout)}
    assert listed[guild["id"]] == {
        "id": guild["id"],
        "name": name,
        "owner_id": owner["id"],
        "members": 2,
        "channels": [
            {"id": guild["channel_id"], "name": "general"},
            {"id": channel["id"], "name": "news"},
        ],
    }
    users = json.loads(stores.command("user", "list", "--json").stdout)
    assert {"id": owner["id"], "name": name, "bot": False} in users


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "create", "a\nb"), "1 to 100 characters"),
        (("token", "nobody at all"), "fanfare user list"),
        (("token", "revoke", "nobody at all"), "fanfare user list"),
        (("token", "renew", "somebody"), "fanfare token revoke NAME"),
        (("guild", "add", "no such guild", "x"), "fanfare guild list"),
        (("guild", "create", "x", "--owner", "9" * 30), "fanfare user list"),
    ],
)
def test_what_people_can_put_right_is_one_line(stores, arguments, said):
    done = stores.command(*arguments, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_taken_name_is_said(stores, name):
    stores.command("user", "create", name)
    done = stores.command("user", "create", name.upper(), check=False)
    assert done.returncode == 1
    assert "is taken" in done.stderr
