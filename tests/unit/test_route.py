"""Where deliveries go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfare.record import CHANNEL, GUILD, INBOXES, USERS, BadRecordError, Record
from notifier.route import Presence, applied, recipients, route, wanted

INBOX = st.sampled_from(["a.1", "b.1", "b.2", "c.7"])
SMALL = st.integers(1, 3)
PRESENCE = st.builds(
    Presence,
    st.dictionaries(SMALL, st.lists(INBOX, max_size=3)),
    st.dictionaries(SMALL, st.lists(INBOX, max_size=3)),
)
RECORDS = st.lists(
    st.builds(
        Record,
        type=st.just("X"),
        id=st.integers(0, 10**6),
        audience=st.sampled_from([CHANNEL, GUILD, USERS, INBOXES]),
        guild=SMALL,
        users=st.lists(SMALL, max_size=3).map(tuple),
        inboxes=st.lists(INBOX, max_size=2).map(tuple),
    ),
    max_size=8,
)

HERE = Presence({1: ["a.1", "b.1"]}, {7: ["b.1", "c.1"], 8: []})


def test_a_channel_goes_to_the_nodes_of_its_guild() -> None:
    assert recipients(Record(type="X", guild=1, users=(7,)), HERE) == ["a.1", "b.1"]


def test_a_guild_reaches_users_besides() -> None:
    assert recipients(Record(type="X", audience=GUILD, guild=1, users=(7,)), HERE) == ["a.1", "b.1", "c.1"]


def test_a_direct_message_reaches_its_users() -> None:
    assert recipients(Record(type="X", audience=USERS, guild=1, users=(7, 8, 9)), HERE) == ["b.1", "c.1"]


def test_a_fence_goes_where_it_says() -> None:
    assert recipients(Record(type="FENCE", audience=INBOXES, inboxes=("z.1",)), HERE) == ["z.1"]


def test_nobody_guesses_what_an_audience_means() -> None:
    with pytest.raises(BadRecordError, match="everybody"):
        recipients(Record(type="X", audience="everybody"), HERE)


@given(RECORDS, PRESENCE)
def test_each_inbox_gets_each_of_its_records_once_and_in_order(
    records: list[Record], presence: Presence
) -> None:
    places = {id(record): place for place, record in enumerate(records)}
    routes = route(records, presence)
    for inbox, batch in routes.items():
        order = [places[id(record)] for record in batch]
        assert order == sorted(set(order))
        assert all(inbox in recipients(record, presence) for record in batch)
    sent = sum(len(batch) for batch in routes.values())
    assert sent == sum(len(recipients(record, presence)) for record in records)


@given(RECORDS, PRESENCE)
def test_looking_up_what_is_wanted_is_enough(records: list[Record], presence: Presence) -> None:
    guilds, users = wanted(records)
    known = Presence(
        {guild: presence.guilds.get(guild, []) for guild in guilds},
        {user: presence.users.get(user, []) for user in users},
    )
    assert route(records, known) == route(records, presence)
    assert len(set(guilds)) == len(guilds)
    assert len(set(users)) == len(users)


def test_the_newest_version_of_each_guild() -> None:
    changes = [Record(type="X", guild=1, version=version) for version in (4, 6, 5)]
    assert applied([*changes, Record(type="X", guild=2), Record(type="X", guild=3, version=1)]) == {
        1: 6,
        3: 1,
    }
