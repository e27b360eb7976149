"""What applications may register and open, and what users may give them."""

# ruff: noqa: E501 - a case is a line

import pytest

from fanfare.record import Record
from gateway.ingress.errors import ApiError, FormError
from gateway.ingress.forms import Form
from gateway.interactions.arguments import arguments, choice_of, component_with, filled
from gateway.interactions.definitions import check_number, read_command
from gateway.interactions.dialogues import read_choices, read_dialogue
from gateway.interactions.state import TokensOf

TEXT = {"type": 3, "name": "text", "description": "words"}
NUMBER = {"type": 4, "name": "number", "description": "how many", "min_value": 1, "max_value": 5}


def command(**fields):
    form = Form({"name": "ping", "description": "answers"} | fields)
    found = read_command(form)
    form.check()
    return found


def wrong(read, *args) -> list[str]:
    """The path of the first field that is wrong."""
    with pytest.raises(FormError) as caught:
        read(*args)
    path, errors = [], caught.value.errors
    while errors and "_errors" not in errors:
        key = next(iter(errors))
        path.append(key)
        errors = errors[key]
    return path


def test_a_command_is_kept_in_a_normal_form():
    assert command(options=[TEXT]) == {
        "type": 1,
        "name": "ping",
        "description": "answers",
        "name_localizations": None,
        "description_localizations": None,
        "options": [
            {
                "type": 3,
                "name": "text",
                "description": "words",
                "name_localizations": None,
                "description_localizations": None,
                "required": False,
                "autocomplete": False,
            }
        ],
        "default_member_permissions": None,
        "dm_permission": True,
        "default_permission": True,
        "nsfw": False,
        "contexts": None,
        "integration_types": [0],
    }
    form = Form({"description": "other", "default_member_permissions": 8})
    changed = read_command(form, command(options=[TEXT]))
    assert (changed["description"], changed["default_member_permissions"]) == ("other", "8")
    assert (changed["name"], len(changed["options"])) == ("ping", 1)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": "Ping"}, ["name"]),
        ({"name": "two words"}, ["name"]),
        ({"description": ""}, ["description"]),
        ({"type": 4}, ["type"]),
        ({"type": 2, "description": "x"}, ["description"]),
        ({"options": [TEXT, TEXT]}, ["options"]),
        ({"options": [TEXT, NUMBER | {"required": True}]}, ["options"]),
        ({"options": [TEXT, {"type": 1, "name": "sub", "description": "x"}]}, ["options"]),
        ({"options": [TEXT | {"type": 11}]}, ["options", "0", "type"]),
        ({"options": [NUMBER | {"max_value": 0}]}, ["options", "0", "max_value"]),
        ({"options": [NUMBER | {"min_value": 1.5}]}, ["options", "0", "min_value"]),
        ({"options": [TEXT | {"autocomplete": True, "choices": [{"name": "a", "value": "a"}]}]}, ["options", "0", "autocomplete"]),
        ({"options": [{"type": 1, "name": "a", "description": "x", "options": [{"type": 1, "name": "b", "description": "x"}]}]}, ["options", "0", "options", "0", "type"]),
        ({"options": [NUMBER | {"choices": [{"name": "a", "value": "a"}]}]}, ["options", "0", "choices", "0", "value"]),
        ({"options": [TEXT | {"name": f"o{n}", "choices": [{"name": "n" * 100, "value": "v" * 100}] * 5} for n in range(9)]}, ["options"]),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_is_named(fields, path):
    assert wrong(lambda: command(**fields)) == path


def test_so_many_commands():
    check_number([command(name=f"c{n}") for n in range(100)])
    with pytest.raises(ApiError):
        check_number([command(name=f"c{n}") for n in range(101)])


def test_what_is_given_to_a_command():
    choices = [{"name": "A", "value": "a"}]
    ping = command(
        options=[
            TEXT | {"required": True, "choices": choices},
            NUMBER,
            {"type": 9, "name": "who", "description": "x"},
        ]
    )
    found, wanted = arguments(ping, [{"name": "text", "value": "a"}, {"name": "who", "value": "7"}])
    assert found == [{"name": "text", "type": 3, "value": "a"}, {"name": "who", "type": 9, "value": "7"}]
    assert (wanted.either, wanted.users) == ({7}, set())
    text = {"name": "text", "value": "a"}
    for given, path in (
        (None, ["options", "text"]),
        ({}, ["options"]),
        ([{"name": "text", "value": "b"}], ["options", "0", "value"]),
        ([text, text], ["options", "1", "name"]),
        ([text, {"name": "number", "value": 6}], ["options", "1", "value"]),
        ([text, {"name": "number", "value": True}], ["options", "1", "value"]),
        ([text, {"name": "who", "value": "you"}], ["options", "1", "value"]),
    ):
        assert wrong(arguments, ping, given) == path


def test_subcommands_and_suggestions():
    sub = {
        "type": 1,
        "name": "sub",
        "description": "x",
        "options": [TEXT | {"autocomplete": True, "required": True}],
    }
    ping = command(options=[{"type": 2, "name": "group", "description": "x", "options": [sub]}])

    def given(**option):
        inner = [{"name": "text", "value": "w"} | option] if option else []
        return [{"name": "group", "options": [{"name": "sub", "options": inner}]}]

    found, _ = arguments(ping, given(focused=True), completes=True)
    assert found[0]["options"][0]["options"] == [{"name": "text", "type": 3, "value": "w", "focused": True}]
    assert wrong(arguments, ping, given()) == ["options", "0", "options", "0", "options", "text"]
    assert wrong(arguments, ping, []) == ["options"]
    with pytest.raises(FormError):
        arguments(ping, given(), completes=True)


def test_components_and_dialogues():
    menu = {
        "type": 3,
        "custom_id": "m",
        "options": [{"label": "a", "value": "a"}],
        "min_values": 1,
        "max_values": 1,
    }
    rows = [
        {"type": 1, "components": [menu]},
        {"type": 9, "components": [], "accessory": {"type": 2, "custom_id": "b"}},
    ]
    assert component_with(rows, "m") == menu
    assert component_with(rows, "b") == {"type": 2, "custom_id": "b"}
    assert component_with(rows, "x") is None
    assert choice_of(menu, Form({"values": ["a"]}))[0]["values"] == ["a"]
    assert wrong(choice_of, menu, Form({"values": ["b"]})) == ["values"]
    assert wrong(choice_of, menu, Form({"component_type": 2, "values": ["a"]})) == ["component_type"]
    people = {"type": 5, "custom_id": "p", "min_values": 0, "max_values": 2}
    assert choice_of(people, Form({"values": ["5", 6]}))[1].users == {5, 6}

    text = {"type": 4, "custom_id": "t", "style": 2}
    form = Form(
        {
            "custom_id": "d",
            "title": "a title",
            "components": [
                {"type": 18, "label": "words", "component": text | {"required": False}},
                {"type": 18, "label": "one", "component": menu},
                {"type": 10, "content": "read this"},
            ],
        }
    )
    dialogue = read_dialogue(form)
    form.check()
    said = [{"type": 1, "components": [{"custom_id": "m", "values": ["a"]}]}]
    components, _ = filled(dialogue["components"], said)
    assert components[0]["component"]["value"] == ""
    assert components[1]["component"]["values"] == ["a"]
    assert wrong(filled, dialogue["components"], []) == ["components", "m"]
    form = Form({"custom_id": "d", "title": "", "components": [{"type": 2}]})
    read_dialogue(form)
    assert form.errors.keys() == {"title", "components"}
    good, bad = [1, 1.5, "x"], [None, True, 1 << 80, 10**5000, float("inf"), "x" * 101, []]
    form = Form({"choices": [{"name": "a", "value": value} for value in good + bad]})
    read_choices(form)
    assert list(form.errors["choices"]) == [str(at) for at in range(len(good), len(good + bad))]


def test_tokens_of_interactions():
    tokens = TokensOf("a secret of at least 32 characters")
    token = tokens.issue(1234)
    assert tokens.verify(token) == 1234
    assert tokens.verify(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert tokens.verify("x") is None
    assert tokens.verify("") is None
    assert TokensOf("another secret of 32 characters!!").verify(token) is None


@pytest.mark.parametrize(
    ("fields", "ephemeral"),
    [
        ({"audience": "channel", "guild": 1}, False),
        ({"audience": "users", "users": (5, 6)}, False),
        ({"audience": "users", "guild": 1, "users": (5,)}, True),
        ({"audience": "users", "users": (5,)}, True),
    ],
)
def test_what_only_one_user_sees_is_no_history(fields, ephemeral):
    assert Record(type="MESSAGE_CREATE", **fields).ephemeral is ephemeral
