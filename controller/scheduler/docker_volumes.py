"""The named volumes of one instance in Docker. They are made with the containers that mount them, and stay after them.

Each function makes calls, in a thread.
"""

from collections.abc import Mapping
from typing import Any

from controller.errors import EngineError
from controller.scheduler.docker_client import Client, expect, explained
from controller.scheduler.engine import LABEL_INSTANCE
from proto.dockrunner import v1 as pb


def check_volumes(mounts: list[pb.Mount], client: Client) -> None:
    """Whether the volumes of these mounts can be what they are declared as: Docker would pass over it in silence.

    Raises:
        EngineError: an external one is not there, or one that is there is another one.
    """
    for mount in mounts:
        definition = mount.definition
        found = [it for it in _volumes(client, {"name": [mount.source]}) if it["Name"] == mount.source]
        if definition.external and not found:
            raise EngineError(
                f"volume {mount.source} is declared as external, and is not there: make it, or leave out external"
            )
        if definition.external or not found:
            continue
        present = found[0]["Driver"], found[0]["Options"] or {}
        if present != (definition.driver or "local", dict(definition.driver_opts)):
            raise EngineError(
                f"volume {mount.source} is there with another driver or other driver_opts, and cannot be changed: "
                "remove it, give it another name, or declare it with external = true"
            )


def checked_mounts(template: pb.ServiceSpec) -> list[pb.Mount]:
    """Those of a container's mounts whose volume has to be looked at before."""
    return [
        mount
        for mount in template.volumes
        if mount.type in ("", "volume")
        and mount.source
        and (mount.definition.external or mount.definition.driver or mount.definition.driver_opts)
    ]


def volumes_of(instance: str, client: Client) -> Mapping[str, Mapping[str, str]]:
    """The labels of each volume of an instance, by its name."""
    found = _volumes(client, {"label": [f"{LABEL_INSTANCE}={instance}"]})
    return {entry["Name"]: entry["Labels"] or {} for entry in found}


def removed(instance: str, name: str, client: Client) -> bool:
    """Removes a volume of an instance; False when a container has it, running or not. One that is gone is removed."""
    if name not in volumes_of(instance, client):
        return True
    try:
        with explained():
            client.remove_volume(name)
    except EngineError as error:
        if "no such volume" in str(error):
            return True
        if "in use" in str(error):
            return False
        raise
    return True


def _volumes(client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    return expect(dict, client.volumes(filters=filters))["Volumes"] or []
