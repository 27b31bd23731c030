"""What a service has to do with others: networks, ports, dependencies, secrets and configs."""

import ipaddress

from controller.config_agent.problem import NotThatForm
from controller.config_agent.short_forms import ports as parsed_ports

from .document import NO_NOTE, Items, Section, Text, Value
from .draft import Draft, is_alias
from .errors import Misfit
from .layout import Array, Entry, Table, TomlValue, array
from .merge import mapping
from .scalars import integer, left_out, mode, shown, text, truth, unset

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_MAX_PORTS = 1000
_PORT_KEYS = {"target", "published", "host_ip", "protocol", "mode"}


def ports(draft: Draft, key: str, value: Value) -> None:
    if not isinstance(value, Items):
        raise Misfit("a list was expected")
    result = Array()
    for item, note in value.noted():
        remarks = [*note.before, *unset(item)]
        try:
            result.append(Entry(_port(item, remarks), remarks, note.after))
        except Misfit as error:
            result.append(Entry(None, [*remarks, left_out("", item, str(error))]))
    draft.set(key, result)


def _port(item: Value, remarks: list[str]) -> str:
    """In the short form, which can say all that is ours."""
    if isinstance(item, Section):
        target, published = text(item.get("target")), text(item["published"]) if item.get("published") else ""
        host = text(item["host_ip"]) if item.get("host_ip") else ""
        host = f"[{host}]" if ":" in host else host
        protocol = text(item["protocol"]) if item.get("protocol") else "tcp"
        outside = f"{host}:{published}:" if host else f"{published}:" if published else ""
        for name, value in item.items():
            if name not in _PORT_KEYS and not name.startswith("x-"):
                remarks.append(left_out(name, value, "ports have no such option"))
        short = f"{outside}{target}" + (f"/{protocol}" if protocol != "tcp" else "")
    else:
        short = text(item)
    try:
        found = parsed_ports(short, _MAX_PORTS)
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    if any(not 1 <= port.target <= 65535 for port in found):
        raise Misfit("a port is within 1 and 65535")
    return short


def networks(draft: Draft, key: str, value: Value) -> None:
    section = mapping(value)
    if not isinstance(section, Section):
        raise Misfit("a mapping or a list was expected")
    if not section and not draft.aliases:
        return
    table = Table()
    for name, given in section.items() or [("default", None)]:
        note = section.notes.get(name, NO_NOTE)
        if name != "default" and name not in draft.shared.project.resources["networks"]:
            draft.shared.undeclared[name] = None
        draft.needs.network(name, draft.shared.project.resources["networks"].get(name))
        attachment = Table()
        comments = _attach(draft, attachment, given)
        table.set(name, attachment, before=[*note.before, *unset(given), *comments], after=note.after)
    draft.set(key, _names_alone(table))


def _names_alone(table: Table) -> TomlValue:
    """A list of names when there is nothing more to say of any; else the table."""
    if any(not isinstance(entry.value, Table) or entry.value.entries for _, entry in table.entries):
        return table
    return Array(Entry(name, entry.before, entry.after) for name, entry in table.entries)


def _attach(draft: Draft, attachment: Table, given: Value) -> list[str]:
    """Fills in one attachment; what is to be said about it."""
    comments: list[str] = []
    aliases = list(draft.aliases)
    for name, value in given.items() if isinstance(given, Section) else ():
        try:
            match name:
                case "aliases" if isinstance(value, Items):
                    for alias in value:
                        if not is_alias(text(alias)):
                            raise Misfit(f"{shown(alias)} is not a host name")
                    aliases = [*dict.fromkeys([*map(text, value), *aliases])]
                case "ipv4_address" | "ipv6_address":
                    attachment.set(name, _address(value))
                case _ if not name.startswith("x-"):
                    raise Misfit("attachments have no such option")
        except Misfit as error:
            comments.append(left_out(name, value, str(error)))
    if aliases:
        attachment.entries.insert(0, ("aliases", Entry(array(*aliases))))
    return comments


def _address(value: Value) -> str:
    try:
        return str(ipaddress.ip_address(text(value)))
    except ValueError:
        raise Misfit("it is not an IP address") from None


def network_mode(draft: Draft, key: str, value: Value) -> None:
    kind, _, name = text(value).partition(":")
    if kind == "service" and name in draft.shared.names:
        draft.set(key, f"service:{draft.shared.names[name]}")
    elif kind in ("none", "host") and not name:
        if kind == "host":
            draft.needs.host_network = True
        draft.set(key, kind)
    elif kind == "container":
        raise Misfit("containers have names of their own; declare it as a service, and write service:NAME")
    elif kind == "service":
        raise Misfit("there is no such service")
    else:
        raise Misfit("services are in the instance's network; others are declared below [networks]")


def depends_on(draft: Draft, key: str, value: Value) -> None:
    """Links wait as well."""
    section = mapping(value)
    if not isinstance(section, Section):
        raise Misfit("a mapping or a list was expected")
    table = Table()
    for name, given in section.items():
        note = section.notes.get(name, NO_NOTE)
        if name not in draft.shared.names:
            draft.left_out(f"{key}: {name}", None, "there is no such service")
            continue
        try:
            dependency = _dependency(given)
        except Misfit as error:
            draft.left_out(f"{key}.{name}", given, str(error))
            continue
        table.set(draft.shared.names[name], dependency, before=list(note.before), after=note.after)
    if table.entries:
        draft.set(key, _names_alone(table))


def _dependency(given: Value) -> Table:
    table = Table()
    for name, value in given.items() if isinstance(given, Section) else ():
        match name:
            case "condition":
                if text(value) not in _CONDITIONS:
                    raise Misfit(f"conditions are {', '.join(_CONDITIONS)}")
                if value != _CONDITIONS[0]:
                    table.set(name, text(value))
            case "required" | "restart":
                if truth(value) != (name == "required"):
                    table.set(name, truth(value))
    return table


def links(draft: Draft, key: str, value: Value) -> None:
    """Services find each other by name; what is left of a link is that it waits, and another name."""
    if not isinstance(value, Items):
        raise Misfit("a list was expected")
    others = [link.partition(":")[0] for link in value if isinstance(link, Text)]
    draft.left_out(key, value, "services reach each other by name; another name is an alias of that service")
    if "depends_on" not in draft.raw:
        depends_on(draft, "depends_on", _names(others))


def _names(names: list[str]) -> Items:
    items = Items()
    for name in dict.fromkeys(names):
        items.put(Text.written(name))
    return items


def files(draft: Draft, key: str, value: Value) -> None:
    """Secrets and configs."""
    if not isinstance(value, Items):
        raise Misfit("a list was expected")
    result = Array()
    for item, note in value.noted():
        remarks = [*note.before, *unset(item)]
        try:
            result.append(Entry(_file(draft, key, item, remarks), remarks, note.after))
        except Misfit as error:
            result.append(Entry(None, [*remarks, left_out("", item, str(error))]))
    draft.set(key, result)


def _file(draft: Draft, kind: str, item: Value, remarks: list[str]) -> TomlValue:
    given = item if isinstance(item, Section) else Section()
    source = text(given.get("source") if isinstance(item, Section) else item)
    if source not in draft.shared.project.resources[kind]:
        raise Misfit("it is not declared")
    if content_source(kind, draft.shared.project.resources[kind][source]) is None:
        raise Misfit("what is in it is not in the compose file: see below")
    table = Table()
    table.set("source", source)
    for name, value in given.items():
        match name:
            case "source":
                pass
            case "target" | "uid" | "gid":
                table.set(name, text(value))
            case "mode":
                table.set(name, mode(value))
            case _:
                remarks.append(left_out(name, value, f"{kind} have no such option"))
    return table if len(table.entries) > 1 else source


def content_source(kind: str, declared: Value) -> tuple[str, Value] | None:
    """Where the content of a secret or config comes from, if that is something that can be carried over."""
    if not isinstance(declared, Section):
        return None
    keys = ("file", "environment") if kind == "secrets" else ("file", "environment", "content")
    given = [key for key in keys if isinstance(declared.get(key), Text)]
    return (given[0], declared[given[0]]) if len(given) == 1 and not declared.get("external") else None


def scale(draft: Draft, _key: str, value: Value) -> None:
    draft.set("replicas", integer(value, 0, 1000))
