"""Services in the format of the file, in its short forms where they say everything."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tomlkit
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tomlkit.items import InlineTable, Table

from proto.dockrunner import v1 as pb

DEFAULT_NETWORK = "default"  # which need not be declared
# What the end of a mount's short form may be.
_MOUNT_OPTIONS = {"ro", "rw", "nocopy", "z", "Z", "private", "rprivate", "shared", "rshared", "slave", "rslave"}
_PERMISSIONS = "mode"  # which people read in octal
_NANOSECONDS = (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 1000))


def services_toml(services: Iterable[pb.Service]) -> str:
    """A file that declares just these services, with the networks, volumes and configs that they name.

    What is in a secret is never shown. The file names the version that the server has, and need not declare it.
    """
    document = tomlkit.document()
    resources = _Resources()
    tables = tomlkit.table(is_super_table=True)
    for service in services:
        tables.add(service.metadata.name, service_table(resources.taken_from(service)))
    document.add("services", tables)
    for kind, table in resources.tables():
        document.add(kind, table)
    return tomlkit.dumps(document)


def service_table(service: pb.Service) -> Table:
    """What stands below ``[services.NAME]``."""
    table = tomlkit.table()
    for field, value in service.spec.ListFields():
        table.add(field.name, _field(value))
    if service.metadata.annotations:
        table.add("annotations", _inline(dict(sorted(service.metadata.annotations.items()))))
    return table


class _Resources:
    """What stands in tables of its own, by kind and name."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, dict[str, Any]]] = {"networks": {}, "volumes": {}, "configs": {}}

    def taken_from(self, service: pb.Service) -> pb.Service:
        """The service without it."""
        rest = pb.Service()
        rest.CopyFrom(service)
        for name, attachment in sorted(rest.spec.networks.items()):
            if attachment.HasField("definition"):
                self._found["networks"].setdefault(name, _fields(attachment.definition))
                attachment.ClearField("definition")
            elif name != DEFAULT_NETWORK:
                self._found["networks"].setdefault(name, {})
        for mount in rest.spec.volumes:
            if mount.source and mount.HasField("definition"):
                self._found["volumes"].setdefault(mount.source, _fields(mount.definition))
            mount.ClearField("definition")
        for secret in rest.spec.secrets:
            secret.ClearField("content")
        for config in rest.spec.configs:
            self._take(config)
        return rest

    def _take(self, config: pb.Config) -> None:
        """Two services may mean two contents by one name: the second gets another name, and keeps its place."""
        try:
            content = {"content": config.content.decode()}
        except UnicodeDecodeError:
            content = {}
        name, number = config.source, 1
        while self._found["configs"].setdefault(name, content) != content:
            number += 1
            name = f"{config.source}-{number}"
        if name != config.source:
            config.target = config.target or f"/{config.source}"
            config.source = name
        config.ClearField("content")

    def tables(self) -> Iterator[tuple[str, Table]]:
        for kind, found in self._found.items():
            if found:
                table = tomlkit.table(is_super_table=True)
                for name, fields in found.items():
                    one = tomlkit.table()
                    one.update(fields)
                    if kind == "configs" and not fields:
                        one.add(tomlkit.comment("its content is not text: name a file that has it"))
                    table.add(name, one)
                yield kind, table


def _fields(message: Message) -> dict[str, Any]:
    return {
        field.name: f"0{value:o}" if field.name == _PERMISSIONS else _field(value)
        for field, value in message.ListFields()
    }


def _field(value: Any) -> Any:
    if isinstance(value, Message):
        return _message(value)
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, (str, int, float)):
        return value
    return _array(map(_item, value))


def _item(value: Any) -> Any:
    return _message(value) if isinstance(value, Message) else value


def _map(value: Mapping[str, Any]) -> Any:
    """A map of attachments or dependencies that say nothing is a list of names."""
    values = {key: value[key] for key in sorted(value)}
    if all(
        isinstance(item, (pb.NetworkAttachment, pb.Dependency)) and not item.ListFields() for item in values.values()
    ):
        return _array(values)
    return _inline({key: _item(item) for key, item in values.items()})


def _message(message: Message) -> Any:
    match message:
        case Duration():
            return _duration(message)
        case Timestamp():
            return message.ToJsonString()
        case pb.Port() if not message.published or message.target:
            return _port(message)
        case pb.Mount() if (text := _mount(message)) is not None:
            return text
        case pb.Device() if (text := _device(message)) is not None:
            return text
        case pb.Ulimit(soft=soft, hard=hard) if soft == hard:
            return soft
        case pb.Ulimit(soft=soft, hard=hard):
            return _inline({"soft": soft, "hard": hard})
        case pb.Secret() | pb.Config() if message == type(message)(source=message.source):
            return message.source
    return _inline(_fields(message))


def _device(device: pb.Device) -> str | None:
    parts = [device.source, device.target, device.permissions]
    if any(":" in part for part in parts) or not device.source or (device.permissions and not device.target):
        return None
    if not device.permissions and set(device.target) <= set("rwm"):
        return device.source if not device.target else None
    return ":".join(part for part in parts if part)


def _duration(duration: Duration) -> str:
    """``1m30s``."""
    left, text = duration.ToNanoseconds(), ""
    for unit, size in _NANOSECONDS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _port(port: pb.Port) -> str:
    host = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    outside = f"{host}:{port.published}:" if host else f"{port.published}:" if port.published else ""
    return f"{outside}{port.target}" + (f"/{port.protocol}" if port.protocol not in ("", "tcp") else "")


def _mount(mount: pb.Mount) -> str | None:
    """The short form, or None where it would be read as another mount."""
    is_path = mount.source.startswith("/")
    if ":" in mount.source + mount.target or not mount.target or mount.type not in ("volume", "bind"):
        return None
    if is_path != (mount.type == "bind") or _MOUNT_OPTIONS.issuperset(mount.target.split(",")):
        return None
    if not is_path and mount.source.startswith((".", "~")):
        return None
    if mount.HasField("bind") or mount.HasField("volume") or mount.HasField("tmpfs"):
        return None
    return ":".join(part for part in (mount.source, mount.target, "ro" if mount.read_only else "") if part)


def _array(items: Iterable[Any]) -> Any:
    array = tomlkit.array()
    array.extend(items)
    return array


def _inline(values: Mapping[str, Any]) -> InlineTable:
    table = tomlkit.inline_table()
    table.update(values)
    return table
