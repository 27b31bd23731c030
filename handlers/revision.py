"""The revision of a service: what can only change with a new container, as a short hash."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask

from controller.framework.cause import differences
from proto.dockrunner import v1 as pb

# Part of every revision. Whoever changes what is hashed, or how, raises it and keeps the old way beside the new one,
# so that an upgrade recreates no container.
VERSION = 1

# Everything else of a spec changes in place.
FIELDS = (
    "image", "command", "entrypoint", "environment", "ports", "labels", "user", "working_dir", "stop_signal",
    "stop_grace_period", "networks", "volumes", "restarted_at", "hostname", "init", "read_only", "tmpfs", "cap_add",
    "cap_drop", "security_opt", "privileged", "devices", "gpus", "group_add", "ulimits", "sysctls", "shm_size",
    "extra_hosts", "dns", "dns_search", "logging", "healthcheck", "platform", "secrets", "configs", "mem_reservation",
    "network_mode", "image_digest",
)  # fmt: skip


def template_of(spec: pb.ServiceSpec) -> pb.ServiceSpec:
    """The part of a spec that a container is made from; of a secret only what names its content."""
    template = pb.ServiceSpec()
    FieldMask(paths=FIELDS).MergeMessage(spec, template)
    for secret in template.secrets:
        secret.ClearField("content")
    return template


def with_template(spec: pb.ServiceSpec, template: pb.ServiceSpec) -> pb.ServiceSpec:
    """The spec with that part taken from another one."""
    changed = pb.ServiceSpec()
    changed.CopyFrom(spec)
    for field in FIELDS:
        changed.ClearField(field)  # type: ignore[arg-type]  # the stubs know names by Literal alone
    changed.MergeFrom(template_of(template))
    return changed


def revision_of(spec: pb.ServiceSpec) -> str:
    """The hash, such as ``1-9f86d081884c``. Fields that are not set do not enter it, so new ones may be added."""
    return _revision_of(spec.SerializeToString(deterministic=True))


@lru_cache(maxsize=4096)
def _revision_of(serialised: bytes) -> str:
    """Remembered, as it is asked for in every pass over a service."""
    spec = pb.ServiceSpec.FromString(serialised)
    content = json_format.MessageToDict(template_of(spec), preserving_proto_field_name=True)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{VERSION}-{digest[:12]}"


def describe_difference(old: pb.ServiceSpec, new: pb.ServiceSpec) -> str:
    """What differs between two templates, for people: ``image nginx:1.27 → nginx:1.29``; values of env never show."""
    parts: list[str] = []
    for difference in differences(template_of(old), template_of(new)):
        path = ".".join(difference.path)
        if path in ("secrets", "configs"):
            parts += _files_changed(path.removesuffix("s"), difference.old, difference.new)
        elif difference.path[0] in ("image", "user", "working_dir", "stop_signal"):
            parts.append(f"{path} {difference.old or '(none)'} → {difference.new or '(none)'}")
        else:
            parts.append(f"{path} changed")
    return _shorten(parts)


def _files_changed(kind: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    """Which secrets or configs are others now; nothing of what is in them."""
    for source in dict.fromkeys(file.source for file in (*old, *new)):
        before, after = ([file for file in side if file.source == source] for side in (old, new))
        if before != after:
            yield f"{kind} {source} {'changed' if before and after else 'added' if after else 'removed'}"


def _shorten(parts: Sequence[Any], limit: int = 4) -> str:
    if len(parts) > limit:
        return ", ".join(parts[:limit]) + f" and {len(parts) - limit} more"
    return ", ".join(parts)
