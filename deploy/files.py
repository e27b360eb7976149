"""The files under k8s/ and deploy/ that are made from code: `python -m deploy.files` writes them again.

A test says which of them are out of date.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.alerts import rules
from deploy.dashboards import DASHBOARDS, dashboard
from deploy.kafka_objects import topics, users
from deploy.keda_objects import scaled_objects
from deploy.kubernetes import ROOT, settings_of
from deploy.redis_users import redis_users

__all__ = ["made", "main"]

_BY: Final = "# Made by `python -m deploy.files` from the code: change that, and run it again.\n"


_OBJECT: Final = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "PrometheusRule",
    "metadata": {"name": "fanfare"},
}


def _yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    return _BY + yaml.safe_dump_all(objects, sort_keys=False, width=110)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def made() -> dict[Path, str]:
    """Each file that is made, and what it has to say."""
    settings = settings_of((ROOT / "k8s/base/settings.env").read_text())
    strimzi = ROOT / "k8s/components/strimzi"
    monitoring = ROOT / "k8s/components/monitoring"
    boards = {f"{board['uid']}.json": _json(board) for board in map(dashboard, DASHBOARDS)}
    return {
        **{ROOT / "deploy/grafana/dashboards" / name: text for name, text in boards.items()},
        **{monitoring / name: text for name, text in boards.items()},
        ROOT / "k8s/components/keda/workers.yaml": _yaml(scaled_objects(settings)),
        strimzi / "topics.yaml": _yaml(topics(settings)),
        strimzi / "users.yaml": _yaml(users(settings)),
        ROOT / "deploy/prometheus/rules.yaml": _yaml([rules()]),
        monitoring / "rules.yaml": _yaml([_OBJECT | {"spec": rules()}]),
        ROOT / "k8s/overlays/dev/users.acl": redis_users(),
    }


def main() -> None:
    """Write all of them."""
    for path, text in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
