"""The twin that the torture program holds beside each client: it sees what differs, and nothing where all is well."""

import json

from hypothesis import given
from hypothesis import strategies as st

from torture.twin import Message, Twin, differences, of_rest

CHANNEL = 7
IDENTS = st.sampled_from(["1", "2", "3"])
USERS = st.sampled_from(["10", "11"])
EMOJIS = st.sampled_from(["a", "b"])
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("MESSAGE_CREATE"), IDENTS),
        st.tuples(st.just("MESSAGE_UPDATE"), IDENTS, st.text(max_size=2), st.booleans()),
        st.tuples(st.just("MESSAGE_DELETE"), IDENTS),
        st.tuples(
            st.sampled_from(["MESSAGE_REACTION_ADD", "MESSAGE_REACTION_REMOVE"]), IDENTS, EMOJIS, USERS
        ),
        st.tuples(st.just("MESSAGE_REACTION_REMOVE_ALL"), IDENTS),
    ),
    max_size=25,
)


def payload(name: str, ident: str, *more: object) -> dict:
    """The `d` of an event."""
    found: dict = {"channel_id": str(CHANNEL)}
    if name.startswith("MESSAGE_REACTION"):
        found["message_id"] = ident
        if more:
            found |= {"emoji": {"id": None, "name": more[0]}, "user_id": more[1]}
        return found
    content, pinned = more or ("", False)
    return found | {"id": ident, "content": content, "pinned": pinned}


def told(events: list[tuple]) -> Twin:
    twin = Twin(CHANNEL)
    for name, *facts in events:
        assert twin.take(name, payload(name, *facts))
    return twin


class Server:
    """What REST would say, worked out in another way: from all events of each message."""

    def __init__(self, events: list[tuple]) -> None:
        self.messages: dict[str, dict] = {}
        for name, ident, *more in events:
            if name == "MESSAGE_CREATE":
                self.messages[ident] = {"content": "", "pinned": False, "who": set()}
            elif (message := self.messages.get(ident)) is None:
                continue
            elif name == "MESSAGE_UPDATE":
                message["content"], message["pinned"] = more
            elif name == "MESSAGE_DELETE":
                # A message is made once, and nothing brings it back.
                del self.messages[ident]
            elif name == "MESSAGE_REACTION_REMOVE_ALL":
                message["who"].clear()
            elif name == "MESSAGE_REACTION_ADD":
                message["who"].add(tuple(more))
            else:
                message["who"].discard(tuple(more))

    def truth(self) -> dict[str, Message]:
        found = {}
        for ident, message in self.messages.items():
            counts = {emoji: sum(one[0] == emoji for one in message["who"]) for emoji, _ in message["who"]}
            reactions = [
                {"emoji": {"id": None, "name": key}, "count": count} for key, count in counts.items()
            ]
            body = {"content": message["content"], "pinned": message["pinned"], "reactions": reactions}
            found[ident] = of_rest(json.loads(json.dumps(body)))
        return found


@given(EVENTS)
def test_who_has_heard_everything_agrees(events):
    twin = told(events)
    mine = {ident: one for ident, one in twin.messages().items() if one is not None or ident}
    assert differences(mine, Server(events).truth(), content=True) == []


def test_each_kind_of_event_that_is_missed_is_seen():
    made = ("MESSAGE_CREATE", "1")
    added = ("MESSAGE_REACTION_ADD", "1", "a", "10")
    for missed, before in (
        (("MESSAGE_UPDATE", "1", "new", False), [made]),
        (("MESSAGE_UPDATE", "1", "", True), [made]),
        (("MESSAGE_DELETE", "1"), [made]),
        (added, [made]),
        (("MESSAGE_REACTION_REMOVE", "1", "a", "10"), [made, added]),
        (("MESSAGE_REACTION_REMOVE_ALL", "1"), [made, added]),
    ):
        truth = Server([*before, missed]).truth()
        assert differences(told(before).messages(), truth, content=True) != [], missed
        assert differences(told([*before, missed]).messages(), truth, content=True) == [], missed


def test_who_is_not_told_what_is_said_is_asked_for_the_rest_only():
    twin = told([("MESSAGE_CREATE", "1")])
    truth = {"1": Message("what was said", pinned=False, reactions=())}
    assert differences(twin.messages(), truth, content=False) == []
    assert differences(twin.messages(), {"1": truth["1"]._replace(pinned=True)}, content=False) != []


def test_other_channels_are_not_its_own():
    twin = Twin(CHANNEL)
    assert not twin.take("MESSAGE_CREATE", {"channel_id": "8", "id": "1", "content": "", "pinned": False})
    assert not twin.take("GUILD_CREATE", {"id": "7"})
    assert twin.messages() == {}
