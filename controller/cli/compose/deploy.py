"""``deploy``: what compose took over from Swarm."""

from collections.abc import Callable

from .document import Section, Value
from .draft import Draft
from .errors import Misfit
from .layout import Table, TomlValue
from .pairs import pairs
from .scalars import duration, integer, left_out, number, size, text
from .storage import gpus

_ONE_MACHINE = "there is one machine"
_ORDERS = ("start-first", "stop-first")
_RESTARTS = {"any": "always", "on-failure": "on-failure", "none": "no"}


def deploy(draft: Draft, _key: str, value: Value) -> None:
    for name, given in _section(value).items():
        _each(draft, "deploy", name, given, _DEPLOY)


def _section(value: Value) -> Section:
    if not isinstance(value, Section):
        raise Misfit("a mapping was expected")
    return value


def _each(draft: Draft, path: str, name: str, value: Value, known: dict[str, Callable[[Draft, Value], None]]) -> None:
    try:
        if name in known:
            known[name](draft, value)
        elif not name.startswith("x-"):
            raise Misfit("not a key of the Compose specification")
    except Misfit as error:
        draft.left_out(f"{path}.{name}", value, str(error))


def _mode(draft: Draft, value: Value) -> None:
    match text(value):
        case "replicated":
            pass
        case "global":
            draft.comment(f"deploy.mode: global is one container: {_ONE_MACHINE}")
        case "replicated-job" | "global-job":
            draft.set("restart", "no")
        case _:
            raise Misfit("not a mode of the Compose specification")


def _labels(draft: Draft, value: Value) -> None:
    draft.comment(
        "deploy.labels are the service's, not its containers': programs that look at containers do not see them"
    )
    table = pairs(value)
    known = draft.table.get("annotations")
    if isinstance(known, Table):
        known.entries += table.entries
    else:
        draft.set("annotations", table)


def _restart_policy(draft: Draft, value: Value) -> None:
    section = _section(value)
    condition = text(section["condition"]) if section.get("condition") else "any"
    if condition not in _RESTARTS:
        raise Misfit(f"conditions are {', '.join(_RESTARTS)}")
    attempts = section.get("max_attempts")
    restart = _RESTARTS[condition]
    if condition == "on-failure" and attempts:
        restart += f":{integer(attempts)}"
    elif attempts:
        draft.left_out("deploy.restart_policy.max_attempts", attempts, "only on-failure counts attempts")
    draft.set("restart", restart)
    backoff = Table()
    for theirs, ours in (("delay", "min"), ("window", "reset")):
        if section.get(theirs):
            backoff.set(ours, duration(section[theirs]))
    if backoff.entries:
        draft.set("restart_backoff", backoff)


def _resources(draft: Draft, value: Value) -> None:
    for part, known in (("limits", _LIMITS), ("reservations", _RESERVATIONS)):
        given = _section(value).get(part)
        for name, amount in given.items() if isinstance(given, Section) else ():
            _each(draft, f"deploy.resources.{part}", name, amount, known)


def _refuse(why: str) -> Callable[[Draft, Value], None]:
    def refuse(_draft: Draft, _value: Value) -> None:
        raise Misfit(why)

    return refuse


def _update(ours: str) -> Callable[[Draft, Value], None]:
    return lambda draft, value: draft.set(ours, _update_config(_section(value), ours))


def _update_config(section: Section, ours: str) -> Table:
    table = Table(apart=True)
    for name, value in section.items():
        note = section.note(name)
        try:
            if ours == "rollback" and value == "rollback":
                raise Misfit("after a rollback there is no other")
            if name in _UPDATE:
                table.set(name, _UPDATE[name](value), before=list(note.before), after=note.after)
            elif not name.startswith("x-"):
                raise Misfit("not a key of the Compose specification")
        except Misfit as error:
            table.comment(left_out(name, value, str(error)))
    if "order" not in section:
        table.set(
            "order", "stop-first", after=f"Swarm's default{'' if ours == 'rollback' else '; start-first has no gap'}"
        )
    return table


def _one_of(*words: str) -> Callable[[Value], TomlValue]:
    def read(value: Value) -> TomlValue:
        if text(value) not in words:
            raise Misfit(f"it is one of {', '.join(words)}")
        return text(value)

    return read


def _ratio(value: Value) -> TomlValue:
    share = number(value)
    if share > 1:
        raise Misfit("it is within 0 and 1")
    return share


_UPDATE: dict[str, Callable[[Value], TomlValue]] = {
    "parallelism": integer,
    "delay": duration,
    "order": _one_of(*_ORDERS),
    "failure_action": _one_of("pause", "continue", "rollback"),
    "monitor": duration,
    "max_failure_ratio": _ratio,
}
_LIMITS: dict[str, Callable[[Draft, Value], None]] = {
    "cpus": lambda draft, value: draft.set("cpus", number(value)),
    "memory": lambda draft, value: draft.set("mem_limit", size(value)),
    "pids": lambda draft, value: draft.set("pids_limit", integer(value)),
}
_RESERVATIONS: dict[str, Callable[[Draft, Value], None]] = {
    "memory": lambda draft, value: draft.set("mem_reservation", size(value)),
    "devices": lambda draft, value: gpus(draft, "devices", value),
    "cpus": _refuse("processors are limited with cpus, and not kept free"),
    "generic_resources": _refuse(_ONE_MACHINE),
}
_DEPLOY: dict[str, Callable[[Draft, Value], None]] = {
    "mode": _mode,
    "replicas": lambda draft, value: draft.set("replicas", integer(value, 0, 1000)),
    "labels": _labels,
    "update_config": _update("update"),
    "rollback_config": _update("rollback"),
    "restart_policy": _restart_policy,
    "resources": _resources,
    "placement": _refuse(_ONE_MACHINE),
    "endpoint_mode": _refuse("a service's name is answered with the addresses of all its containers"),
}
