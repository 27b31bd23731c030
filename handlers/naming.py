"""How things are called in Docker."""

import base64
import hashlib

from proto.dockrunner import v1 as pb

DEFAULT_INSTANCE = "default"
# The service's way of naming the instance's own network.
DEFAULT_NETWORK = "default"


def container_name(instance: str, service: str, slot: int, uid: str) -> str:
    """``[INSTANCE-]SERVICE-SLOT-xxxxx``; the end comes from the uid, so that a repeated create meets its first try."""
    tail = base64.b32encode(hashlib.sha256(uid.encode()).digest()).decode().lower()[:5]
    prefix = "" if instance == DEFAULT_INSTANCE else f"{instance}-"
    return f"{prefix}{service}-{slot}-{tail}"


def network_name(instance: str, network: str, definition: pb.NetworkDefinition) -> str:
    """The name in Docker of a network; an external one has none of ours."""
    if definition.name or definition.external:
        return definition.name or network
    return f"dock-runner-{instance}" if network == DEFAULT_NETWORK else f"dock-runner-{instance}-{network}"


def volume_name(instance: str, volume: str, definition: pb.VolumeDefinition) -> str:
    """The name in Docker of a named volume: instances other than the default have volumes of their own."""
    if definition.name or definition.external:
        return definition.name or volume
    return volume if instance == DEFAULT_INSTANCE else f"{instance}-{volume}"
