"""What `fanfare status` tells: the supervisor's view, each process's own, and the groups in Kafka."""

import asyncio
from typing import Any

from fanfare import probe
from fanfare.embedded.folder import DataFolder
from fanfare.settings import Settings

__all__ = ["not_running", "read_status"]

GATEWAY = "gateway"
GROUPS_TIMEOUT_S = 5.0


def not_running() -> dict[str, Any]:
    """The status of a folder in which nothing runs."""
    return {"ready": False, "processes": [], "groups": {}, "sessions": 0}


async def read_status(settings: Settings, folder: DataFolder) -> dict[str, Any]:
    """Ask all processes, and Kafka for its groups.

    Raises:
        NotRunningError: no `fanfare up` runs in this folder.

    """
    state = folder.read_state()
    answers, groups = await asyncio.gather(
        asyncio.gather(*(_ask(process) for process in state["processes"])), _groups(settings, state)
    )
    processes = [process for process, _, _ in answers]
    processes += [
        {"name": name, "role": name, "pid": None, "state": "external", "address": "", "internal": ""}
        for name in state.get("external", [])
    ]
    return {
        "ready": folder.run_file.exists() and all(ready for _, ready, _ in answers),
        "processes": processes,
        "groups": groups,
        "sessions": sum(sessions for _, _, sessions in answers),
    }


async def _ask(process: dict[str, Any]) -> tuple[dict[str, Any], bool, int]:
    """The entry of one process, whether it is ready, and its sessions."""
    entry = dict(process)
    if not entry["internal"]:
        return entry, entry["state"] == "running", 0
    said = await probe.get_json(entry["internal"] + "/status")
    if said is None:
        return entry, False, 0
    # What a process knows of itself wins, extra fields included; its pid and addresses are ours to know.
    extra = {name: value for name, value in said.items() if name not in {"name", "role", "pid", "internal"}}
    entry |= extra | {"address": said.get("address") or entry["address"]}
    sessions = said.get("sessions", 0) if entry["role"] == GATEWAY else 0
    return entry, bool(said.get("ready")), int(sessions)


async def _groups(settings: Settings, state: dict[str, Any]) -> dict[str, Any]:
    servers = settings.kafka or state.get("kafka")
    if not servers:
        return {}
    try:
        from fanfare.bus.groups import describe_groups  # noqa: PLC0415 - slow to import

        async with asyncio.timeout(GROUPS_TIMEOUT_S):
            return dict(await describe_groups(settings.model_copy(update={"kafka": servers})))
    except Exception:  # noqa: BLE001 - whatever Kafka's client raises while the broker is away
        return {}
