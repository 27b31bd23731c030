"""``networks``, ``volumes``, ``secrets`` and ``configs`` of a compose file as tables of the same names."""

import ipaddress

from .attachments import content_source
from .document import Items, Note, Section, Value
from .draft import Shared
from .errors import Misfit
from .layout import Array, Entry, Table, TomlValue
from .pairs import pairs
from .scalars import left_out, text, truth, unset

_NETWORK = {"driver", "driver_opts", "internal", "attachable", "enable_ipv6", "ipam", "labels", "name", "external"}
_VOLUME = {"driver", "driver_opts", "labels", "name", "external"}
_TRUTHS = {"internal", "attachable", "enable_ipv6"}
_PAIRS = {"driver_opts", "labels"}


def resources(shared: Shared, kind: str) -> Table:
    """All tables of one kind."""
    result = Table()
    declared = shared.project.resources[kind]
    for name, value in declared.items():
        note = declared.note(name)
        if kind in ("secrets", "configs"):
            entry = _content(shared, kind, name, value, note)
        else:
            entry = _definition(kind, name, value, note)
        if kind == "volumes":
            entry.before += _kept_data(shared.project.name, name, value)
        result.entries.append((name, entry))
    if kind == "networks":
        for name in shared.undeclared:
            result.set(name, Table(), before=["the compose file names it, and does not declare it"])
    return result


def _kept_data(project: str, name: str, value: Value) -> list[str]:
    """Where compose has the data, unless the volume has a name of its own."""
    if isinstance(value, Section) and ("external" in value or "name" in value):
        return []
    return [f'to go on with what compose has in it, add: name = "{project}_{name}", external = true']


def _definition(kind: str, name: str, value: Value, note: Note) -> Entry:
    table, before = Table(), [*note.before, *unset(value)]
    known = _NETWORK if kind == "networks" else _VOLUME
    if not isinstance(value, (Section, type(None))):
        before.append(left_out(name, value, "a mapping was expected"))
        value = None
    for key, given in (value or {}).items():
        said = value.note(key) if value is not None else Note()
        try:
            if key == "external":
                _external(table, given)
            elif key in known:
                _set(table, key, given, said)
            elif not key.startswith("x-"):
                raise Misfit(f"{kind} have no such option")
        except Misfit as error:
            table.comment(left_out(key, given, str(error)))
    return Entry(table, before, note.after)


def _set(table: Table, key: str, value: Value, note: Note) -> None:
    if table.get(key) is not None:
        raise Misfit("it is there already")
    if key == "driver" and value == "overlay":
        raise Misfit("there is one machine; bridge is the default")
    if key in _TRUTHS:
        read: TomlValue = truth(value)
    elif key in _PAIRS:
        read = pairs(value)
    elif key == "ipam":
        read = _ipam(value)
    else:
        read = text(value)
    table.set(key, read, before=list(note.before), after=note.after)


def _external(table: Table, value: Value) -> None:
    """True, or a mapping with the name."""
    if isinstance(value, Section):
        if value.get("name") and table.get("name") is None:
            table.set("name", text(value["name"]))
        table.set("external", True)
    elif truth(value):
        table.set("external", True)


def _ipam(value: Value) -> Table:
    if not isinstance(value, Section):
        raise Misfit("a mapping was expected")
    table = Table()
    for key, given in value.items():
        if key == "driver":
            table.set(key, text(given))
        elif key == "config" and isinstance(given, Items):
            table.set(key, Array(_ipam_config(item) for item in given))
        elif not key.startswith("x-"):
            table.comment(left_out(key, given, "address management has no such option"))
    return table


def _ipam_config(value: Value) -> Entry:
    table, before = Table(), []
    for key, given in value.items() if isinstance(value, Section) else ():
        try:
            if key in ("subnet", "ip_range"):
                table.set(key, _checked(given, network=True))
            elif key == "gateway":
                table.set(key, _checked(given, network=False))
            elif key == "aux_addresses":
                table.set(key, pairs(given))
            elif not key.startswith("x-"):
                raise Misfit("address management has no such option")
        except Misfit as error:
            before.append(left_out(key, given, str(error)))
    return Entry(table, before)


def _checked(value: Value, *, network: bool) -> str:
    written = text(value)
    try:
        if network:
            ipaddress.ip_network(written, strict=False)
        else:
            ipaddress.ip_address(written)
    except ValueError:
        raise Misfit("it is not an IP address or a subnet") from None
    return written


def _content(shared: Shared, kind: str, name: str, value: Value, note: Note) -> Entry:
    """A secret or a config; nothing but a comment when its content is elsewhere."""
    before = [*note.before, *unset(value)]
    taken = content_source(kind, value)
    if taken is None:
        why = f"its content is not in the compose file: put it in a file, and write [{kind}.{name}] with file = …"
        return Entry(None, [*before, left_out(f"{kind}.{name}", value, why)])
    assert isinstance(value, Section)  # noqa: S101  # a content has a place
    table = Table()
    key, source = taken
    if key == "file":
        path = text(source)
        path = path if path.startswith(("/", "~", ".")) else f"./{path}"
        shared.relative |= not path.startswith("/")
        table.set(key, path, after=value.note(key).after)
    else:
        table.set(key, text(source), after=value.note(key).after)
    for option, given in value.items():
        if option not in (key, "external") and not option.startswith("x-"):
            table.comment(left_out(option, given, f"{kind} have no such option"))
    return Entry(table, before, note.after)
