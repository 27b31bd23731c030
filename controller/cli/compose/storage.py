"""Mounts, devices and processors: what a container has of the host."""

import re

from controller.config_agent.problem import NotThatForm
from controller.config_agent.short_forms import PROPAGATIONS
from controller.config_agent.short_forms import devices as parsed_device
from controller.config_agent.short_forms import mounts as parsed_mount

from .document import Items, Section, Text, Value
from .draft import Draft
from .errors import Misfit
from .layout import Array, Entry, Table, TomlValue, array
from .pairs import pairs
from .scalars import integer, left_out, mode, placed, size, text, texts, truth, unset

_GPU = "gpu"  # as a policy calls them
_OPTIONS = {"ro", "rw", "nocopy", *PROPAGATIONS}
_LABELLED = "label the folder for SELinux on the host, with chcon"
_DROPPED = {
    "z": _LABELLED, "Z": _LABELLED, "cached": "is for Docker Desktop", "delegated": "is for Docker Desktop",
    "consistent": "is for Docker Desktop",
}  # fmt: skip
_MOUNT_KEYS = {"type", "source", "target", "read_only", "bind", "volume", "tmpfs"}
_TYPES = ("volume", "bind", "tmpfs")


def volumes(draft: Draft, key: str, value: Value) -> None:
    if not isinstance(value, Items):
        raise Misfit("a list was expected")
    result = Array()
    for item, note in value.noted():
        remarks = [*note.before, *unset(item)]
        try:
            mount = (
                _long_mount(draft, item, remarks) if isinstance(item, Section) else _short_mount(draft, item, remarks)
            )
            result.append(Entry(mount, remarks, note.after))
        except Misfit as error:
            result.append(Entry(None, [*remarks, left_out("", item, str(error))]))
    draft.set(key, result)


def _short_mount(draft: Draft, item: Value, remarks: list[str]) -> str:
    parts = placed(item).split(":")
    if len(parts) > 2 or (len(parts) == 2 and not parts[1].startswith("/")):
        options = parts.pop().split(",")
        remarks += [
            left_out("", Text.written(option), _DROPPED.get(option, "not an option of a mount"))
            for option in options
            if option not in _OPTIONS
        ]
        kept = ",".join(option for option in options if option in _OPTIONS)
        parts += [kept] if kept and kept != "rw" else []
    short = ":".join(parts)
    try:
        mount = parsed_mount(short, 1)[0]
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    _check_target(mount.target)
    _need(draft, mount.type, mount.source)
    draft.needs.propagation(mount.bind.propagation)
    return short


def _long_mount(draft: Draft, item: Section, remarks: list[str]) -> TomlValue:
    kind = text(item.get("type")) if item.get("type") else "volume"
    source = placed(item["source"]) if item.get("source") else ""
    target = placed(item.get("target"))
    _check_target(target)
    if kind not in _TYPES:
        raise Misfit(f"mounts are of the types {', '.join(_TYPES)}")
    if kind == "bind":
        if not source:
            raise Misfit("it has no source")
        source = source if source.startswith(("/", ".", "~")) else f"./{source}"
    _need(draft, kind, source)
    table = Table()
    read_only = truth(item["read_only"]) if item.get("read_only") else False
    for name, part in (("type", kind), ("source", source), ("target", target)):
        if part:
            table.set(name, part)
    if read_only:
        table.set("read_only", True)
    for name, value in item.items():
        if name not in _MOUNT_KEYS and not name.startswith("x-"):
            remarks.append(left_out(name, value, "mounts have no such option"))
    options = _mount_options(draft, kind, item, remarks)
    if options.entries:
        table.set(kind, options)
    elif kind != "tmpfs" and _is_short(kind, source, target):
        return ":".join(part for part in (source, target, "ro" if read_only else "") if part)
    return table


def _is_short(kind: str, source: str, target: str) -> bool:
    return ":" not in source + target and (kind == "bind") == source.startswith(("/", ".", "~"))


def _mount_options(draft: Draft, kind: str, item: Section, remarks: list[str]) -> Table:
    options = Table()
    for of in _TYPES:
        given = item.get(of)
        for name, value in given.items() if isinstance(given, Section) else ():
            try:
                match (of, name) if of == kind else ("", ""):
                    case ("bind", "propagation") if text(value) in PROPAGATIONS:
                        draft.needs.propagation(text(value))
                        options.set(name, text(value))
                    case ("volume", "nocopy"):
                        options.set(name, truth(value))
                    case ("tmpfs", "size"):
                        options.set(name, size(value))
                    case ("tmpfs", "mode"):
                        options.set(name, mode(value))
                    case _:
                        raise Misfit("mounts have no such option")
            except Misfit as error:
                remarks.append(left_out(f"{of}.{name}", value, str(error)))
    return options


def _check_target(target: str) -> None:
    if not target.startswith("/") or not target.strip("/"):
        raise Misfit("its place in the container must be an absolute path other than /")


def _need(draft: Draft, kind: str, source: str) -> None:
    """Notes what the policy has to allow for a mount."""
    if kind == "bind":
        draft.shared.relative |= source.startswith((".", "~"))
        draft.needs.host_path(source)
    elif kind == "volume":
        draft.needs.volume(draft.shared.project.resources["volumes"].get(source))


def tmpfs(draft: Draft, key: str, value: Value) -> None:
    draft.set(key, text(value) if isinstance(value, Text) else texts(value))


def devices(draft: Draft, key: str, value: Value) -> None:
    if not isinstance(value, Items):
        raise Misfit("a list was expected")
    result = Array()
    for item, note in value.noted():
        remarks = [*note.before, *unset(item)]
        try:
            result.append(Entry(_device(draft, item), remarks, note.after))
        except Misfit as error:
            result.append(Entry(None, [*remarks, left_out("", item, str(error))]))
    draft.set(key, result)


def _device(draft: Draft, item: Value) -> str:
    if isinstance(item, Section):
        parts = [text(item[name]) for name in ("source", "target", "permissions") if item.get(name)]
        if "permissions" in item and "target" not in item:
            parts.insert(1, parts[0])
        short = ":".join(parts)
    else:
        short = text(item)
    if not short.startswith("/"):
        raise Misfit("only devices by their path are known; for CDI see `gpus`")
    try:
        device = parsed_device(short, 1)[0]
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    if not set(device.permissions) <= set("rwm"):
        raise Misfit("permissions are some of r, w and m")
    draft.needs.devices[device.source] = None
    return short


def gpus(draft: Draft, _key: str, value: Value) -> None:
    """`all`, or a list of requests; the reservations of `deploy` are the same list."""
    if isinstance(value, Text) and value == "all":
        draft.needs.devices[_GPU] = None
        draft.set("gpus", "all")
        return
    if not isinstance(value, Items):
        raise Misfit("`all` or a list was expected")
    result = Array()
    for item, note in value.noted():
        remarks = [*note.before, *unset(item)]
        try:
            result.append(Entry(_gpu(item, remarks), remarks, note.after))
        except Misfit as error:
            result.append(Entry(None, [*remarks, left_out("", item, str(error))]))
    draft.needs.devices[_GPU] = None
    draft.set("gpus", result)


def _gpu(item: Value, remarks: list[str]) -> TomlValue:
    if not isinstance(item, Section):
        raise Misfit("a mapping was expected")
    table = Table()
    for name, value in item.items():
        match name:
            case "driver":
                table.set(name, text(value))
            case "count":
                table.set(name, text(value) if value == "all" else integer(value, -1))
            case "device_ids" | "capabilities":
                table.set(
                    name, array(*(text(one) for one in value)) if isinstance(value, Items) else array(text(value))
                )
            case "options":
                table.set(name, pairs(value))
            case _:
                remarks.append(left_out(name, value, "requests for processors have no such option"))
    return table


def capabilities(draft: Draft, key: str, value: Value) -> None:
    """Those that are added may be more than the policy allows."""
    result = texts(value)
    for entry in result:
        if isinstance(entry.value, str):
            draft.needs.capability(entry.value)
    draft.set(key, result)


def privileged(draft: Draft, key: str, value: Value) -> None:
    allowed = truth(value)
    draft.needs.privileged |= allowed
    draft.set(key, allowed)


def security(draft: Draft, key: str, value: Value) -> None:
    """Compose has `name:value` as well as `name=value`; profiles in files are for the engine's host."""
    result = texts(value)
    for entry in result:
        if isinstance(entry.value, str):
            entry.value = re.sub("^(seccomp|apparmor|label):", r"\1=", entry.value)
            draft.needs.security_option(entry.value)
    draft.set(key, result)
