"""The guild as the torture program holds it beside each client: it sees what differs, and nothing where all is well."""

from torture.guild_twin import GuildTwin, apart, facts_of_rest

GUILD = 7


def channel(ident: str, name: str = "lobby", *overwrites: dict) -> dict:
    return {"id": ident, "guild_id": str(GUILD), "name": name, "permission_overwrites": list(overwrites)}


def role(ident: str, name: str = "role") -> dict:
    return {"id": ident, "name": name, "permissions": "0"}


def thread(ident: str, parent: str = "1", *, archived: bool = False, count: int = 1) -> dict:
    meta = {"archived": archived, "locked": False}
    found = {"id": ident, "guild_id": str(GUILD), "parent_id": parent, "name": "thread"}
    return found | {"thread_metadata": meta, "member_count": count}


def member(user: str, *roles: str, nick: str | None = None) -> dict:
    return {"guild_id": str(GUILD), "user": {"id": user}, "roles": list(roles), "nick": nick}


CREATE = {
    "id": str(GUILD),
    "name": "guild",
    "roles": [role(str(GUILD)), role("20")],
    "channels": [channel("1")],
    "threads": [thread("30")],
    "members": [member("10", "20"), member("11")],
}


def told(*events: tuple[str, dict]) -> GuildTwin:
    twin = GuildTwin(GUILD)
    for name, d in (("GUILD_CREATE", CREATE), *events):
        assert twin.take(name, d)
    return twin


def truth(**parts: object) -> dict:
    known: dict = CREATE | parts
    return dict(facts_of_rest(known, known["channels"], known["threads"], known["members"]))


def test_it_is_what_it_began_with():
    assert apart(told().facts(), truth()) == []
    assert apart(told(("GUILD_UPDATE", {"id": str(GUILD), "name": "x"})).facts(), truth(name="x")) == []


def test_each_kind_of_event_counts_and_is_missed_where_it_is_left_out():
    overwrite = {"id": "20", "type": 0, "allow": "1", "deny": "0"}
    where = {"guild_id": str(GUILD)}
    cases = [
        ("CHANNEL_CREATE", channel("2"), {"channels": [channel("1"), channel("2")]}),
        (
            "CHANNEL_UPDATE",
            channel("1", "lobby", overwrite),
            {"channels": [channel("1", "lobby", overwrite)]},
        ),
        ("CHANNEL_DELETE", channel("1"), {"channels": [], "threads": []}),
        ("GUILD_ROLE_CREATE", where | {"role": role("21")}, {"roles": [*CREATE["roles"], role("21")]}),
        ("GUILD_ROLE_UPDATE", where | {"role": role("20", "x")}, {"roles": [role("7"), role("20", "x")]}),
        (
            "GUILD_ROLE_DELETE",
            where | {"role_id": "20"},
            {"roles": [role("7")], "members": [member("10"), member("11")]},
        ),
        ("GUILD_MEMBER_ADD", member("12"), {"members": [*CREATE["members"], member("12")]}),
        ("GUILD_MEMBER_UPDATE", member("10", nick="n"), {"members": [member("10", nick="n"), member("11")]}),
        ("GUILD_MEMBER_REMOVE", member("11"), {"members": [member("10", "20")]}),
        ("THREAD_CREATE", thread("31"), {"threads": [thread("30"), thread("31")]}),
        ("THREAD_UPDATE", thread("30", archived=True), {"threads": []}),
        ("THREAD_DELETE", thread("30"), {"threads": []}),
        (
            "THREAD_MEMBERS_UPDATE",
            where | {"id": "30", "member_count": 2},
            {"threads": [thread("30", count=2)]},
        ),
        ("THREAD_LIST_SYNC", where | {"channel_ids": ["1"], "threads": []}, {"threads": []}),
    ]
    for name, d, after in cases:
        assert apart(told((name, d)).facts(), truth(**after)) == [], name
        assert apart(told().facts(), truth(**after)), name


def test_who_was_put_out_is_in_no_guild_and_begins_anew_on_coming_back():
    gone = told(("GUILD_DELETE", {"id": str(GUILD)}))
    assert gone.facts() is None
    assert apart(gone.facts(), None) == []
    assert apart(gone.facts(), truth())
    assert apart(told().facts(), None)
    gone.take("GUILD_CREATE", CREATE | {"name": "again"})
    assert apart(gone.facts(), truth(name="again")) == []
    away = told(("GUILD_DELETE", {"id": str(GUILD), "unavailable": True}))
    assert apart(away.facts(), truth()) == []


def test_what_is_of_another_guild_is_none_of_it():
    twin = told()
    for name, d in (
        ("GUILD_UPDATE", {"id": "8", "name": "x"}),
        ("CHANNEL_DELETE", {"id": "1", "guild_id": "8"}),
    ):
        assert not twin.take(name, d)
    assert not twin.take("MESSAGE_CREATE", {"id": "1", "channel_id": "1"})
    assert apart(twin.facts(), truth()) == []
