"""All faults by their names."""

from collections.abc import Callable

from torture.faults import (
    disturbances,
    flood,
    growth,
    links,
    positions,
    processes,
    redis_faults,
    refusals,
    stores,
)
from torture.faults.base import Fault

__all__ = ["by_name"]


def _each_role(base: type[Fault], prefix: str, gateway_aim_s: float) -> list[type[Fault]]:
    return [
        type(
            f"{prefix.title()}{role.title()}",
            (base,),
            {
                "name": f"{prefix}-{role}",
                "role": role,
                "aim_s": gateway_aim_s if role == "gateway" else base.aim_s,
                "__doc__": f"{base.__doc__} Here: {role}.",
            },
        )
        for role in ("gateway", "fanout", "notifier", "archiver")
    ]


def by_name() -> dict[str, Callable[[], Fault]]:
    """All faults in the order of the table."""
    kinds: list[type[Fault]] = [
        *_each_role(processes.KillProcess, "kill", 1.0),
        *_each_role(processes.StopProcess, "stop", 4.0),
        processes.ScaleWorkers,
        processes.RollingRestart,
        growth.Grow,
        positions.Positions,
        *redis_faults.KINDS,
        stores.KafkaLeader,
        stores.KafkaDown,
        stores.PostgresDown,
        links.CutGatewayRedis,
        links.CutNotifierRedis,
        links.CutFanoutKafka,
        links.CutNotifierKafka,
        *disturbances.KINDS,
        *refusals.KINDS,
        *flood.KINDS,
    ]
    return {kind.name: kind for kind in kinds}
