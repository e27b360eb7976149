"""The store on a real PostgreSQL."""

import asyncio

import msgspec
import pytest

from fanfare.constants import LARGE_GUILD
from fanfare.ids import snowflake_ms
from fanfare.model import CATEGORY, Channel, Overwrite, Role, User
from fanfare.record import GUILD, Record
from fanfare.rights import BadChangeError, NotAllowedError
from fanfare.store import NameTakenError, NotFoundError, Store, StoreUnavailableError
from fanfare.store.changes import Changing
from fanfare.store.demo import make_demo
from fanfare.store.migrate import migrate
from fanfare.tokens import Tokens
from tests.integration.store_fixtures import Gate, own_database, settings_of, snowflakes

pytestmark = pytest.mark.system
next_id = snowflakes()


@pytest.fixture(scope="module")
def settings(stores):
    settings = asyncio.run(own_database(settings_of(stores.run)))
    migrate(settings)
    return settings


@pytest.fixture
async def store(settings):
    store = await Store.connect(settings)
    yield store
    await store.close()


async def person(store: Store, name: str = "user") -> User:
    ident = next_id()
    return await store.create_user(ident, f"{name}{ident}")


async def outbox(store: Store, guild_id: int) -> list[Record]:
    rows = await store.database.fetch("SELECT record FROM outbox WHERE guild_id = $1 ORDER BY id", guild_id)
    return [Record.unpack(row["record"]) for row in rows]


async def test_processes_migrate_at_once(stores):
    settings = await own_database(settings_of(stores.run))
    await asyncio.gather(*(asyncio.to_thread(migrate, settings) for _ in range(4)))
    await asyncio.to_thread(migrate, settings)
    store = await Store.connect(settings)
    assert await store.guild(1) is None
    await store.close()


async def test_users(store):
    alice = await store.create_user(next_id(), "Alice the First")
    bot = await store.create_user(next_id(), "R2", bot=True)
    assert await store.user(alice.id) == alice
    assert await store.user_by_name("ALICE the first") == alice
    assert await store.user_by_name("nobody") is None
    assert await store.users([alice.id, bot.id, 1]) == {alice.id: alice, bot.id: bot}
    with pytest.raises(NameTakenError, match="alice THE first"):
        await store.create_user(next_id(), "alice THE first")
    with pytest.raises(NameTakenError):
        await store.update_user(alice.id, "r2")
    assert (await store.update_user(alice.id, "Alicia")).username == "Alicia"
    with pytest.raises(NotFoundError):
        await store.update_user(1, "x")


async def test_a_guild_is_made_with_what_it_needs(store):
    owner = await person(store)
    change = await store.create_guild(next_id, owner, "G", ["a", "b"])
    guild = await store.guild(change.guild_id)
    assert guild == change.value
    assert (guild.version, guild.member_count, guild.owner_id) == (1, 1, owner.id)
    assert [c.name for c in guild.channels.values()] == ["a", "b"]
    assert guild.roles[guild.id].name == "@everyone"
    assert guild.members[owner.id].user == owner
    assert await store.guild_ids(owner.id) == [guild.id]


async def test_every_change_raises_the_version_and_is_told(store):
    owner, friend = await person(store), await person(store)
    guild_id = (await store.create_guild(next_id, owner, "G")).guild_id
    await store.add_member(guild_id, friend)
    channel = Channel(id=next_id(), guild_id=guild_id, name="news", position=1)
    await store.create_channel(channel)
    await store.update_channel(channel.id, topic="what is new")
    role = Role(id=next_id(), name="editors", permissions=1 << 11)
    await store.create_role(guild_id, role)
    await store.update_role(guild_id, role.id, color=7)
    await store.set_member(guild_id, friend.id, roles=[role.id], nick="Fred")
    await store.set_overwrite(channel.id, Overwrite(role.id, 0, 1 << 11, 1 << 10))
    assert (await store.guild(guild_id)).members[friend.id].roles == (role.id,)
    await store.delete_role(guild_id, role.id)
    await store.delete_channel(channel.id)
    await store.update_guild(guild_id, name="H")
    await store.remove_member(guild_id, friend.id)

    guild = await store.guild(guild_id)
    assert (guild.name, guild.version, guild.member_count) == ("H", 12, 1)
    assert set(guild.members) == {owner.id}
    assert set(guild.roles) == {guild_id}
    told = await outbox(store, guild_id)
    assert [record.version for record in told] == list(range(1, 13))
    assert [record.type for record in told] == [
        "GUILD_CREATE",
        "GUILD_MEMBER_ADD",
        "CHANNEL_CREATE",
        "CHANNEL_UPDATE",
        "GUILD_ROLE_CREATE",
        "GUILD_ROLE_UPDATE",
        "GUILD_MEMBER_UPDATE",
        "CHANNEL_UPDATE",
        "GUILD_ROLE_DELETE",
        "CHANNEL_DELETE",
        "GUILD_UPDATE",
        "GUILD_MEMBER_REMOVE",
    ]
    for record in told:
        assert record.audience == GUILD
        assert abs(snowflake_ms(record.id) - record.at) < 1000
        assert (record.guild, record.author, record.nonce) == (guild_id, guild_id, f"g{record.version}")
        assert record.channel == (channel.id if record.type.startswith("CHANNEL") else 0)
    assert {r.type: r.users for r in told if r.users} == {
        "GUILD_CREATE": (owner.id,),
        "GUILD_MEMBER_ADD": (friend.id,),
        "GUILD_MEMBER_UPDATE": (friend.id,),
        "GUILD_MEMBER_REMOVE": (friend.id,),
    }
    payloads = [msgspec.json.decode(record.payload) for record in told]
    assert payloads[3]["topic"] == "what is new"
    assert payloads[6]["nick"] == "Fred"
    assert payloads[6]["guild_id"] == str(guild_id)
    assert payloads[7]["permission_overwrites"][0]["deny"] == str(1 << 10)
    assert payloads[8] == {"guild_id": str(guild_id), "role_id": str(role.id)}
    assert payloads[9]["type"] == 0


async def test_a_deleted_role_is_gone_everywhere(store):
    owner = await person(store)
    guild = (await store.create_guild(next_id, owner, "G")).value
    channel_id = next(iter(guild.channels))
    role = Role(id=next_id(), name="r", permissions=0)
    await store.create_role(guild.id, role)
    await store.set_member(guild.id, owner.id, add_roles=[role.id])
    await store.set_overwrite(channel_id, Overwrite(role.id, 0, 1, 0))
    await store.delete_role(guild.id, role.id)
    assert (await store.members(guild.id, [owner.id]))[owner.id].roles == ()
    assert (await store.channel(channel_id)).overwrites == ()
    with pytest.raises(ValueError, match="@everyone"):
        await store.delete_role(guild.id, guild.id)


async def test_a_deleted_category_lets_its_channels_go(store):
    guild_id = (await store.create_guild(next_id, await person(store), "G", [])).guild_id
    category = Channel(id=next_id(), guild_id=guild_id, type=CATEGORY, name="c")
    child = Channel(id=next_id(), guild_id=guild_id, name="x", parent_id=category.id)
    await store.create_channel(category)
    await store.create_channel(child)
    change = await store.delete_channel(category.id)
    assert change.version == 5
    assert (await store.channel(child.id)).parent_id == 0
    assert [r.type for r in await outbox(store, guild_id)][-2:] == ["CHANNEL_UPDATE", "CHANNEL_DELETE"]


async def test_channels_moved_together_see_each_other_and_read_the_guild_once(store, monkeypatch):
    """The guild is locked meanwhile: read for each of them, a move of all its channels kept everybody waiting."""
    owner, friend = await person(store), await person(store)
    guild_id = (await store.create_guild(next_id, owner, "G", [f"c{at}" for at in range(50)])).guild_id
    await store.add_member(guild_id, friend)
    only = (Overwrite(friend.id, 1, 1024, 0),)
    category = Channel(id=next_id(), guild_id=guild_id, type=CATEGORY, name="c", overwrites=only)
    await store.create_channel(category)
    guild = await store.guild(guild_id)
    ours = [ident for ident in guild.channels if ident != category.id]
    reads = []
    state = Changing.state

    async def counted(self, *users):
        reads.append(users)
        return await state(self, *users)

    monkeypatch.setattr(Changing, "state", counted)
    moves = {ident: {"parent_id": category.id, "position": 3} for ident in ours}
    change = await store.move_channels(guild_id, moves, by=owner.id, in_step=ours)
    assert change.changed
    moved = (await store.guild(guild_id)).channels
    assert all((moved[ident].parent_id, moved[ident].overwrites) == (category.id, only) for ident in ours)
    assert len(reads) == 2, "once, and with those whom categories name"
    one_more = Channel(id=next_id(), guild_id=guild_id, name="one more")
    await store.create_channel(one_more)
    apart = {ours[0]: {"parent_id": 0}, one_more.id: {"parent_id": category.id}, ours[1]: {"position": 3}}
    assert (await store.move_channels(guild_id, apart, by=owner.id)).changed
    with pytest.raises(BadChangeError, match="category reached"):
        await store.move_channels(guild_id, {ours[0]: {"parent_id": category.id}}, by=owner.id)
    with pytest.raises(NotFoundError):
        await store.move_channels(guild_id, {1: {"position": 1}}, by=owner.id)


async def test_roles_moved_together_are_all_moved_or_none(store):
    owner, friend = await person(store), await person(store)
    guild_id = (await store.create_guild(next_id, owner, "G", [])).guild_id
    low, high = [Role(id=next_id(), name="r", permissions=1 << 28, position=at) for at in (1, 2)]
    for role in (low, high):
        await store.create_role(guild_id, role)
    await store.add_member(guild_id, friend, roles=(high.id,))
    change = await store.move_roles(guild_id, {low.id: 3, high.id: 1}, by=owner.id)
    assert {role.id: role.position for role in change.value} == {guild_id: 0, low.id: 3, high.id: 1}
    told = ["GUILD_ROLE_UPDATE", "GUILD_AUDIT_LOG_ENTRY_CREATE"] * 2
    assert [r.type for r in await outbox(store, guild_id)][-4:] == told
    assert not (await store.move_roles(guild_id, {low.id: 3}, by=friend.id)).changed
    version = (await store.guild(guild_id)).version
    for wrong in ({low.id: 2, guild_id: 1}, {low.id: 2, high.id: 0}):
        with pytest.raises(BadChangeError):
            await store.move_roles(guild_id, wrong, by=owner.id)
    with pytest.raises(NotFoundError):
        await store.move_roles(guild_id, {low.id: 2, 1: 2}, by=owner.id)
    with pytest.raises(NotAllowedError):
        await store.move_roles(guild_id, {high.id: 2}, by=friend.id)
    assert (await store.guild(guild_id)).version == version


async def test_what_is_so_already_is_no_event(store):
    owner = await person(store)
    guild = (await store.create_guild(next_id, owner, "G")).value
    channel = next(iter(guild.channels.values()))
    for change in (
        await store.add_member(guild.id, owner, nick="other"),
        await store.set_member(guild.id, owner.id, nick=None),
        await store.update_channel(channel.id, name=channel.name),
    ):
        assert not change.changed
        assert change.version == 1
    assert len(await outbox(store, guild.id)) == 1


async def test_a_failed_change_leaves_nothing(store):
    guild_id = (await store.create_guild(next_id, await person(store), "G")).guild_id
    stranger = User(id=next_id(), username="never made")
    with pytest.raises(Exception, match="foreign key"):
        await store.add_member(guild_id, stranger)
    guild = await store.guild(guild_id)
    assert (guild.version, guild.member_count) == (1, 1)
    assert len(await outbox(store, guild_id)) == 1


async def test_what_is_not_there(store):
    guild_id = (await store.create_guild(next_id, await person(store), "G")).guild_id
    user = await person(store)
    for call in (
        store.add_member(1, user),
        store.remove_member(guild_id, user.id),
        store.set_member(guild_id, user.id, nick="x"),
        store.update_channel(1, name="x"),
        store.delete_channel(1),
        store.update_role(guild_id, 1, name="x"),
        store.delete_role(guild_id, 1),
        store.update_guild(1, name="x"),
        store.dm(next_id(), user.id, 1),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await store.channel(1) is None
    assert await store.guild(1) is None
    assert await store.message(1, 1) is None


async def test_changes_at_once_are_all_counted(store):
    guild_id = (await store.create_guild(next_id, await person(store), "G")).guild_id
    users = [await person(store) for _ in range(12)]
    changes = await asyncio.gather(*(store.add_member(guild_id, user) for user in users))
    assert sorted(change.version for change in changes) == list(range(2, 14))
    guild = await store.guild(guild_id)
    assert guild.member_count == len(guild.members) == 13
    assert [record.version for record in await outbox(store, guild_id)] == list(range(1, 14))


async def test_two_people_have_one_conversation(store):
    alice, bob, carol = [await person(store) for _ in range(3)]
    found = await asyncio.gather(
        *(store.dm(next_id(), *pair) for pair in [(alice.id, bob.id), (bob.id, alice.id)] * 4)
    )
    assert len({channel.id for channel in found}) == 1
    dm = found[0]
    assert {user.id for user in dm.recipients} == {alice.id, bob.id}
    assert await store.channel(dm.id) == dm
    other = await store.dm(next_id(), carol.id, alice.id)
    assert await store.dms(alice.id) == sorted([dm, other], key=lambda c: c.id)
    with pytest.raises(NotFoundError):
        await store.delete_channel(dm.id)


async def test_members_are_paged_and_searched(store):
    owner = await person(store, "Zoe")
    guild_id = (await store.create_guild(next_id, owner, "G")).guild_id
    users = [await person(store, f"p{number}_") for number in range(4)]
    for user in users:
        await store.add_member(guild_id, user, nick="100%" if user is users[2] else None)
    everybody = sorted([owner, *users], key=lambda user: user.id)
    first = await store.member_page(guild_id, 0, 3)
    rest = await store.member_page(guild_id, first[-1].user.id, 3)
    assert [member.user for member in first + rest] == everybody
    assert [m.user for m in await store.search_members(guild_id, "ZO", 9)] == [owner]
    assert [m.user for m in await store.search_members(guild_id, "p1_", 9)] == [users[1]]
    assert [m.user for m in await store.search_members(guild_id, "100%", 9)] == [users[2]]
    assert await store.search_members(guild_id, "p%", 9) == []
    assert len(await store.search_members(guild_id, "", 2)) == 2


async def test_a_large_guild_comes_without_its_members(store):
    owner = await person(store)
    guild_id = (await store.create_guild(next_id, owner, "G")).guild_id
    first = next_id()
    await store.database.value(
        "INSERT INTO users (id, username) SELECT $1::bigint + n, 'm' || $1::bigint + n "
        "FROM generate_series(1, $2::int) n",
        first,
        LARGE_GUILD,
    )
    await store.database.value(
        "INSERT INTO members (guild_id, user_id, joined_at) "
        "SELECT $3, $1::bigint + n, now() FROM generate_series(1, $2::int) n",
        first,
        LARGE_GUILD,
        guild_id,
    )
    for count, listed in ((LARGE_GUILD + 1, 0), (LARGE_GUILD, LARGE_GUILD + 1)):
        await store.database.value("UPDATE guilds SET member_count = $2 WHERE id = $1", guild_id, count)
        assert len((await store.guild(guild_id)).members) == listed


async def test_pages_of_messages(store):
    channel_id = next_id()
    ids = [next_id() for _ in range(7)]
    await store.database.value(
        "INSERT INTO messages SELECT $1, id, 5, '', 0, id = $3, convert_to(id::text, 'UTF8') "
        "FROM unnest($2::bigint[]) id",
        channel_id,
        ids,
        ids[5],
    )
    seen = [ids[6], *ids[4::-1]]

    async def page(**query) -> list[int]:
        found = await store.messages(channel_id, **query)
        assert all(body == str(ident).encode() for ident, body in found)
        return [ident for ident, _ in found]

    assert await page(limit=50) == seen
    assert await page(limit=2) == seen[:2]
    assert await page(before=ids[4], limit=2) == [ids[3], ids[2]]
    assert await page(after=ids[0], limit=2) == [ids[2], ids[1]]
    assert await page(after=ids[4], limit=9) == [ids[6]]
    assert await page(around=ids[2], limit=3) == [ids[3], ids[2], ids[1]]
    assert await page(around=ids[2], limit=1) == [ids[2]]
    assert await page(around=ids[6], limit=4) == [ids[6], *ids[4:1:-1]]
    assert await store.message(channel_id, ids[0]) == str(ids[0]).encode()
    assert await store.message(channel_id, ids[5]) is None


async def test_the_demo_is_made_once_and_its_tokens_stay(stores):
    settings = await own_database(settings_of(stores.run))
    await asyncio.to_thread(migrate, settings)
    demos = await asyncio.gather(*(make_demo(settings) for _ in range(3)))
    assert demos[0] == demos[1] == demos[2]
    demo = demos[0]
    store = await Store.connect(settings)
    guild = await store.guild(demo.guild_id)
    assert [c.name for c in guild.channels.values()] == ["general", "random", "alerts"]
    assert {m.user.username for m in guild.members.values()} == {"alice", "bob", "carol", "fanfare-bot"}
    assert guild.members[demo.bot.id].user.bot
    tokens = Tokens(settings.secret.get_secret_value())
    assert {name: tokens.verify(user.token).user for name, user in demo.users.items()} == {
        name: user.id for name, user in demo.users.items()
    }

    await store.remove_member(demo.guild_id, demo.users["bob"].id)
    await store.delete_channel(demo.channel_id)
    again = await make_demo(settings)
    assert again.users == demo.users
    assert again.channel_id in guild.channels
    assert (await store.guild(demo.guild_id)).member_count == 3
    await store.close()


@pytest.fixture
async def gate(settings):
    gate = Gate(settings)
    yield gate, gate.settings
    await gate.shut()


async def test_the_store_goes_on_after_an_outage(gate):
    door, settings = gate
    store = await Store.connect(settings)  # while PostgreSQL is away
    with pytest.raises(StoreUnavailableError):
        await store.guild(1)
    await door.open()
    assert await store.guild(1) is None
    await door.shut()
    with pytest.raises(StoreUnavailableError):
        await store.user_by_name("x")
    await door.open()
    assert await store.user_by_name("x") is None
    await store.close()


async def test_a_server_that_hangs_is_told_from_one_that_answers(gate):
    door, settings = gate
    await door.open()
    store = await Store.connect(settings)
    assert await store.guild(1) is None
    door.hang()
    with pytest.raises(StoreUnavailableError):
        await store.guild(1)
    with pytest.raises(StoreUnavailableError):
        await store.user(1)
    await door.open()
    assert await store.user(1) is None
    await store.close()
