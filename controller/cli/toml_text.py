"""Services in the format of the file, in its short forms where they say everything."""

from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tomlkit.items import InlineTable, Table

from proto.dockrunner import v1 as pb

_NANOSECONDS = (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("us", 1000))


def services_toml(services: Iterable[pb.Service]) -> str:
    """A file that declares just these services."""
    document = tomlkit.document()
    tables = tomlkit.table(is_super_table=True)
    for service in services:
        tables.add(service.metadata.name, service_table(service))
    document.add("services", tables)
    return tomlkit.dumps(document)


def service_table(service: pb.Service) -> Table:
    """What stands below ``[services.NAME]``."""
    table = tomlkit.table()
    for field, value in service.spec.ListFields():
        table.add(field.name, _field(value))
    if service.metadata.annotations:
        table.add("annotations", _inline(dict(sorted(service.metadata.annotations.items()))))
    return table


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
    """A map of messages that say nothing is a list of names."""
    values = {key: value[key] for key in sorted(value)}
    if all(isinstance(item, Message) and not item.ListFields() for item in values.values()):
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
    return _inline({field.name: _field(value) for field, value in message.ListFields()})


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
    if is_path != (mount.type == "bind") or (not mount.source and mount.target in ("ro", "rw")):
        return None
    if not is_path and mount.source.startswith((".", "~")):
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
