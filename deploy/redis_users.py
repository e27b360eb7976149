"""The users of Redis, as a file of ACLs for Valkey: each process with its least rights."""

from fanfare.checks.redis_rights import acl, acl_to_mark
from fanfare.checks.rights import ROLES

__all__ = ["redis_users"]

# What an exporter of metrics asks.
_METRICS = (
    "resetkeys",
    "resetchannels",
    "-@all",
    "+ping",
    "+info",
    "+client|setname",
    "+config|get",
    "+latency",
)


def redis_users(password: str = "dev-{role}") -> str:  # noqa: S107 - of the overlay for development
    """The file. Nobody is anybody without a password.

    Args:
        password: of each user; {role} stands for its role.

    """
    rules = {role: acl(role) for role in ROLES} | {"topics": acl_to_mark(), "metrics": list(_METRICS)}
    lines = [
        f"user fanfare-{role} on >{password.format(role=role)} {' '.join(each)}"
        for role, each in rules.items()
    ]
    return "\n".join(["user default off", *lines]) + "\n"
