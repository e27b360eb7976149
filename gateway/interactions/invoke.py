"""A user calls a command, presses a button, chooses from a menu, or fills in a dialogue: POST /interactions."""

import time
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from fanfare.model import Guild, User
from fanfare.payloads import Json
from fanfare.permissions import P
from fanfare.record import USERS
from fanfare.store.commands import Command
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.errors import ApiError, FormError, forbidden, missing_access, unknown_message
from gateway.ingress.forms import Form
from gateway.ingress.history import History
from gateway.ingress.interfaces import Guilds, Stored
from gateway.ingress.limits import RateLimits
from gateway.ingress.records import PREPARE_S, answer_by, record_of
from gateway.ingress.sends import Sends
from gateway.interactions.arguments import Wanted, arguments, choice_of, component_with, filled
from gateway.interactions.definitions import CHAT_INPUT, MESSAGE
from gateway.interactions.definitions import USER as USER_COMMAND
from gateway.interactions.objects import COMMAND, COMPLETE, COMPONENT, SUBMIT, create, resolved
from gateway.interactions.permitted import says_of_channel, says_of_member
from gateway.interactions.state import Interaction, State, TokensOf, unknown_interaction

__all__ = ["Invoking"]

_KINDS: Final = (COMMAND, COMPONENT, COMPLETE, SUBMIT)

_encode = msgspec.json.Encoder().encode


class Invoking:
    """Takes what users do, and tells the application."""

    def __init__(
        self,
        *,
        access: Access,
        guilds: Guilds,
        history: History,
        store: Stored,
        sends: Sends,
        state: State,
        tokens: TokensOf,
        limits: RateLimits,
    ) -> None:
        """Prepare.

        Args:
            access: who may do what where.
            guilds: what this node knows.
            history: messages as they can be read.
            store: knows the commands.
            sends: what is on its way.
            state: of interactions.
            tokens: of interactions.
            limits: how many interactions this node takes.

        """
        self._access = access
        self._guilds = guilds
        self._history = history
        self._store = store
        self._sends = sends
        self._state = state
        self._tokens = tokens
        self._limits = limits

    async def invoke(self, user: User, body: Any) -> Json:
        """Tell the application what a user does; its answer comes as events.

        Returns:
            `id` of the interaction, and the `nonce` of the body.

        Raises:
            FormError: fields are wrong.
            ApiError: it must not be.
            RefusedError, UnknownOutcomeError: as for a message.

        """
        deadline = answer_by()
        form = Form(body)
        kind = form.integer("type", required=True)
        if kind is not None and kind not in _KINDS:
            form.fail("type", "BASE_TYPE_CHOICES", f"Value must be one of {_KINDS}.")
        application_id = form.snowflake("application_id", required=True) or 0
        channel_id = form.snowflake("channel_id", required=True) or 0
        message_id = form.snowflake("message_id", required=kind == COMPONENT) or 0
        nonce = form.text("nonce", longest=100)
        data = Form(form.raw("data"))
        if data.errors:
            form.errors["data"] = data.errors
        form.check()
        assert kind is not None
        async with refusing(PREPARE_S):
            place = await self._access.place(user, channel_id)
            place.require_open()
            theirs = await self._application(application_id, channel_id)
            self._limits.take(user.id, channel_id, time.monotonic())
            interaction = Interaction(
                id=self._sends.next_id(),
                type=kind,
                application=application_id,
                user=user.id,
                guild=place.channel.guild_id,
                channel=channel_id,
                nonce=nonce,
            )
            message: Json | None = None
            try:
                match kind:
                    case 3:
                        interaction, done, message = await self._component(
                            interaction, place, data, message_id
                        )
                    case 5:
                        interaction, done, message = await self._submitted(interaction, place, data)
                    case _:
                        interaction, done = await self._command(interaction, place, data)
            except FormError as error:
                raise FormError({"data": error.errors or {}}) from None
            await self._state.begin(interaction)
        token = self._tokens.issue(interaction.id)
        payload = _encode(create(interaction, place, user, theirs, done, token, message))
        record = record_of(place, "INTERACTION_CREATE", interaction.id, user.id, payload)
        await self._sends.produce(replace(record, audience=USERS, users=(application_id,)), None, deadline)
        return {"id": str(interaction.id), "nonce": nonce}

    async def _application(self, application_id: int, channel_id: int) -> Place:
        """The channel as the application meets it: it has to be a bot, and there. Raises: ApiError."""
        bot = await self._guilds.user(application_id)
        if bot is None or not bot.bot:
            raise ApiError(404, 10002, "Unknown Application")
        return await self._access.anywhere(bot, channel_id)

    async def _command(self, interaction: Interaction, place: Place, data: Form) -> tuple[Interaction, Json]:
        if place.guild is not None:
            place.require(P.USE_APPLICATION_COMMANDS)
        command = await self._found(interaction, data)
        _check_usable(command.body, place)
        if place.guild is not None:
            await self._check_permitted(command, place, place.guild)
        kind = command.body["type"]
        found: Json = {"id": str(command.id), "name": command.body["name"], "type": kind}
        if command.guild_id:
            found["guild_id"] = str(command.guild_id)
        things: Json = {}
        if kind == CHAT_INPUT:
            completes = interaction.type == COMPLETE
            options, wanted = arguments(command.body, data.raw("options"), completes=completes)
            found["options"] = options
            things = await self._things(wanted, place, "options")
        elif interaction.type == COMPLETE:
            raise FormError.at("id", "BASE_TYPE_CHOICES", "This command has no options.")
        else:
            target = data.snowflake("target_id", required=True) or 0
            data.check()
            found["target_id"] = str(target)
            if kind == USER_COMMAND:
                things = await self._things(Wanted(users={target}), place, "target_id")
            else:
                assert kind == MESSAGE
                place.require(P.READ_MESSAGE_HISTORY)
                body = await self._history.stored(interaction.channel, target)
                things = {"messages": {str(target): msgspec.json.decode(body)}}
        if things:
            found["resolved"] = things
        return replace(interaction, name=command.body["name"]), found

    async def _check_permitted(self, command: Command, place: Place, guild: Guild) -> None:
        """Raises: ApiError: this guild does not let the member use the command, or not in this channel."""
        if place.may(P.ADMINISTRATOR):
            return
        member = place.member
        assert member is not None
        application = command.application_id
        said = await self._store.command_permissions(guild.id, application)
        permitted = says_of_member(said, command.id, application, guild, member.user.id, member.roles)
        if permitted is None:
            # "0": for administrators only.
            needed = command.body.get("default_member_permissions")
            permitted = needed is None or place.may(int(needed) or int(P.ADMINISTRATOR))
        if not permitted or not says_of_channel(said, command.id, application, guild, place.channel):
            raise forbidden()

    async def _found(self, interaction: Interaction, data: Form) -> Command:
        """The command that is meant, by its id or its name; one of the guild wins over one for everywhere."""
        ident, name = data.snowflake("id"), data.text("name", longest=100)
        kind = data.integer("type", least=1, most=3) or CHAT_INPUT
        data.check()
        guilds = [interaction.guild, 0] if interaction.guild else [0]
        known = await self._store.commands([interaction.application], guilds)
        fits = [
            one
            for one in known
            if (
                one.id == ident if ident is not None else (one.body["type"], one.body["name"]) == (kind, name)
            )
        ]
        if not fits:
            raise ApiError(404, 10063, "Unknown application command")
        return max(fits, key=lambda one: one.guild_id)

    async def _component(
        self, interaction: Interaction, place: Place, data: Form, message_id: int
    ) -> tuple[Interaction, Json, Json]:
        ephemeral, message = await self._message(interaction.user, place, message_id)
        if message["author"]["id"] != str(interaction.application):
            raise FormError.at(
                "custom_id", "COMPONENT_VALIDATION_FAILED", "The message is not the application's."
            )
        custom_id = data.text("custom_id", shortest=1, longest=100, required=True)
        data.check()
        component = component_with(message["components"], custom_id or "")
        if component is None:
            said = "The message has no such component."
            raise FormError.at("custom_id", "COMPONENT_VALIDATION_FAILED", said)
        found, wanted = choice_of(component, data)
        if things := await self._things(wanted, place, "values"):
            found["resolved"] = things
        return replace(interaction, message=message_id, ephemeral=ephemeral), found, message

    async def _submitted(
        self, interaction: Interaction, place: Place, data: Form
    ) -> tuple[Interaction, Json, Json | None]:
        """A dialogue that an earlier interaction of the same user opened; `data.id` names that one."""
        opener = data.snowflake("id", required=True) or 0
        data.check()
        found = await self._state.find(opener)
        if found is None or "dialogue" not in found[1]:
            raise unknown_interaction()
        before, notes = found
        if (before.user, before.application, before.channel) != (
            interaction.user,
            interaction.application,
            interaction.channel,
        ):
            raise missing_access()
        dialogue = msgspec.json.decode(notes["dialogue"])
        components, wanted = filled(dialogue["components"], data.raw("components"))
        done: Json = {"custom_id": dialogue["custom_id"], "components": components}
        if things := await self._things(wanted, place, "components"):
            done["resolved"] = things
        interaction = replace(interaction, message=before.message, ephemeral=before.ephemeral)
        if not before.message:
            return interaction, done, None
        _, message = await self._message(interaction.user, place, before.message)
        return interaction, done, message

    async def _message(self, user: int, place: Place, message_id: int) -> tuple[bool, Json]:
        """A message that the user has, and whether nobody else has it."""
        body = await self._state.ephemeral(message_id)
        if body is None:
            shown: Json = msgspec.json.decode(await self._history.stored(place.channel.id, message_id))
            return False, shown
        message: Json = msgspec.json.decode(body)
        mine = message["interaction_metadata"]["user"]["id"] == str(user)
        if not mine or message["channel_id"] != str(place.channel.id):
            raise unknown_message()
        return True, message

    async def _things(self, wanted: Wanted, place: Place, path: str) -> Json:
        """What the ids in a call are of. Raises: FormError: of nothing."""
        ids = wanted.users | wanted.either
        members = {}
        if place.guild is not None:
            for ident in ids:
                if (member := await self._guilds.member(place.guild.id, ident)) is not None:
                    members[ident] = member
        users = await self._guilds.users([ident for ident in ids if ident not in members]) if ids else {}
        found, unknown = resolved(wanted, place.guild, members, users, place)
        if unknown:
            raise FormError.at(path, "BASE_TYPE_CHOICES", f"There is nothing with the id {min(unknown)}.")
        return found


def _check_usable(body: Json, place: Place) -> None:
    """Raises: ApiError: the command is not for this user, or not for here."""
    direct = place.guild is None
    contexts = body.get("contexts")
    if (direct and not body.get("dm_permission", True)) or (contexts and int(direct) not in contexts):
        raise missing_access()
    if body.get("nsfw") and not (direct or place.channel.nsfw):
        raise ApiError(403, 50013, "This command can only be used in age-restricted channels")
