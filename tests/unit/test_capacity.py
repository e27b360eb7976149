"""The capacity model: what has to hold whatever the unit costs are."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fanfare.capacity.model import BUSY, Flow, Load, nodes_of_a_guild, plan, seconds
from fanfare.capacity.units import Gateway, Service, Units, UnitsError, load_units, save_units
from fanfare.cli import build

COSTS = st.floats(0.1, 500)
IDLE = st.floats(0, 20_000)
BYTES = st.floats(1, 20_000)
SERVICES = st.builds(Service, idle_us=IDLE, message_us=COSTS, batch_us=COSTS, append_us=st.floats(0, 100))
UNITS = st.builds(
    Units,
    machine=st.just("a test"),
    cycle_s=st.floats(0.0001, 0.1),
    gateway=st.builds(
        Gateway,
        idle_us=IDLE,
        message_us=COSTS,
        entry_us=st.floats(0.1, 100),
        delivery_us=st.floats(0.1, 50),
        base_bytes=st.floats(1e7, 1e8),
        session_bytes=st.floats(1000, 50_000),
    ),
    fanout=SERVICES,
    notifier=SERVICES,
    archiver=SERVICES,
    redis=SERVICES,
    kafka=SERVICES,
    postgres=SERVICES,
    frame_bytes=BYTES,
    entry_bytes=BYTES,
    log_bytes=BYTES,
    row_bytes=BYTES,
    registration_bytes=BYTES,
)
LOADS = st.builds(
    Load,
    users=st.floats(1, 1e7),
    guilds=st.floats(1, 1e6),
    msgs_per_s=st.floats(0.1, 3000),
    online=st.floats(0, 1),
    guilds_per_user=st.floats(0, 20),
).filter(lambda load: load.audience * load.msgs_per_s < 1e9)


@given(UNITS, LOADS)
def test_a_plan_holds_the_load(units, load):
    found = plan(load, units)
    for part in found.parts:
        assert part.count >= 1
        if part.grows:
            assert part.busy <= BUSY * 1.000001, part
    assert found.node_bytes <= load.node_bytes * 1.000001
    assert found.partitions >= 2 * max(found.part(name).count for name in ("fanout", "notifier", "archiver"))


@given(UNITS, LOADS)
def test_one_gateway_less_would_not_do(units, load):
    found = plan(load, units)
    nodes = found.part("gateway").count
    if nodes == 1:
        return
    fewer = nodes - 1
    appends = load.msgs_per_s * nodes_of_a_guild(fewer, load.audience)
    flow = Flow(load.msgs_per_s, load.msgs_per_s * load.audience, appends, 8)
    busy = seconds(units, flow, {"gateway": fewer})["gateway"] / fewer
    memory = units.gateway.base_bytes + load.sessions / fewer * units.gateway.session_bytes
    assert busy > BUSY or memory > load.node_bytes


@given(UNITS, LOADS, st.floats(1, 10))
def test_more_messages_never_cost_less(units, load, times):
    more = Load(load.users, load.guilds, load.msgs_per_s * times, load.online, load.guilds_per_user)
    before, after = plan(load, units), plan(more, units)
    assert after.part("gateway").count >= before.part("gateway").count
    assert after.flow.deliveries >= before.flow.deliveries
    assert after.client_bytes_per_s >= before.client_bytes_per_s


@given(UNITS, LOADS)
def test_what_saturates_first_is_the_busiest_of_what_cannot_be_added_to(units, load):
    found = plan(load, units)
    assert not found.first.grows
    assert all(part.busy <= found.first.busy for part in found.parts if not part.grows)
    assert found.ceiling * found.first.busy == pytest.approx(load.msgs_per_s)


# A billionth of a session is as good as none; numbers near the least that a float holds are rounded to nothing.
@given(st.integers(1, 10_000), st.just(0.0) | st.floats(1e-9, 1e7))
def test_a_guild_is_on_no_more_nodes_than_there_are_or_than_it_has_sessions(nodes, audience):
    found = nodes_of_a_guild(nodes, audience)
    assert 0 <= found <= min(nodes, audience) * 1.000001
    assert nodes_of_a_guild(nodes + 1, audience) >= found * 0.999999


def test_a_huge_guild_is_everywhere():
    assert nodes_of_a_guild(20, 200_000) == pytest.approx(20)


def test_large_batches_cost_less_than_small_ones():
    units = load_units()
    few = seconds(units, Flow(10, 0, 0, 8), {"fanout": 0})["fanout"] / 10
    many = seconds(units, Flow(100_000, 0, 0, 8), {"fanout": 0})["fanout"] / 100_000
    assert many < few


def test_units_are_kept_and_read_again(tmp_path):
    path = tmp_path / "units.json"
    save_units(load_units(), path)
    assert load_units(path) == load_units()
    with pytest.raises(UnitsError, match="nothing"):
        load_units(tmp_path / "nothing")
    path.write_text("{}")
    with pytest.raises(UnitsError):
        load_units(path)


def test_the_command_says_what_saturates_first():
    arguments = ["capacity", "--users", "1e6", "--guilds", "1e5", "--msgs-per-s", "2000"]
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code == 0, done.output
    assert "saturates first" in done.output
    assert CliRunner().invoke(build(), [*arguments, "--units", "/nowhere"]).exit_code == 1


def test_nothing_to_do_needs_one_of_each():
    found = plan(Load(users=1, guilds=1, msgs_per_s=0), load_units())
    assert {part.count for part in found.parts} == {1}
    assert found.ceiling in {0, math.inf}


def test_where_no_number_of_gateways_is_enough_it_says_so():
    """A gateway that does not fit into its memory without any session is not helped by another one."""
    units = load_units()
    large = msgspec.structs.replace(units, gateway=msgspec.structs.replace(units.gateway, base_bytes=1e15))
    with pytest.raises(ValueError, match="no number of gateways"):
        plan(Load(users=1000, guilds=1, msgs_per_s=100), large)
