"""The model driven by Hypothesis: it chooses what happens, and makes what fails as short as it can."""

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.model.bugs import Bug
from tests.model.check import ViolationError
from tests.model.simulation import Simulation
from tests.model.world import CHANNELS

RUN = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)


class Machine(RuleBasedStateMachine):
    """One history."""

    planted: tuple[Bug, ...] = ()
    simulation: Simulation

    @initialize(seed=st.integers(0, 1 << 20), cap=st.sampled_from([40, 400]))
    def begin(self, seed: int, cap: int) -> None:
        self.simulation = Simulation(seed, self.planted)
        self.simulation.faulty = True
        self.simulation.cap = cap

    @rule(ticks=st.integers(1, 40), busy=st.sampled_from([0.0, 0.3, 0.8]))
    def time(self, ticks: int, busy: float) -> None:
        simulation = self.simulation
        for _ in range(ticks):
            simulation.tick()
            if not simulation.kafka.down and simulation.random.random() < busy:
                simulation.publish(simulation.random.choice(list(CHANNELS)), retry=True)

    @rule(channel=st.sampled_from(list(CHANNELS)), times=st.integers(1, 5))
    def publish(self, channel: int, times: int) -> None:
        if not self.simulation.kafka.down:
            for _ in range(times):
                self.simulation.publish(channel)

    @rule(number=st.integers(0, 7))
    def cut(self, number: int) -> None:
        client = self.simulation.clients[number]
        if client.link is not None:
            client.cut(self.simulation)

    @rule(number=st.integers(0, 1 << 10))
    def fault(self, number: int) -> None:
        kinds = self.simulation.faults.kinds
        kinds[number % len(kinds)][1]()

    @rule()
    def ambush(self) -> None:
        self.simulation.faults.ambush()

    def teardown(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.settle()


def test_every_session_is_whole_or_told() -> None:
    run_state_machine_as_test(Machine, settings=RUN)


@pytest.mark.parametrize("bug", [Bug.POSITION_UNCHECKED, Bug.COMMIT_FIRST, Bug.CACHED_PRESENCE])
def test_the_machine_finds(bug: Bug) -> None:
    broken = type("Broken", (Machine,), {"planted": (bug,)})
    with pytest.raises(ViolationError):
        run_state_machine_as_test(broken, settings=RUN)
