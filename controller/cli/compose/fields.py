"""Each key that a service of compose can have: how it is carried over, or why it is not."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from controller.config_agent.field_forms import extra_host
from controller.config_agent.problem import NotThatForm

from . import attachments, pairs, storage
from .build import build, image
from .deploy import deploy
from .document import Items, Section, Text, Value
from .draft import Converter, Draft, is_alias
from .errors import Misfit
from .layout import Entry, Table, TomlValue, array
from .refused import REFUSED, REFUSED_WHEN_TRUE
from .scalars import (
    duration,
    each,
    integer,
    left_out,
    number,
    placed,
    size,
    text,
    texts,
    truth,
    unset,
    whole_seconds,
)

_PULLS = {"always": "always", "never": "never", "missing": "missing", "if_not_present": "missing"}
_CHECKS = {"daily": "24h", "weekly": "168h"}
_VARIABLE = re.compile(r"^[^#\n]*\$[A-Za-z_{]", re.MULTILINE)
_RESTART = re.compile(r"always|unless-stopped|no|on-failure(?::[0-9]{1,9})?")


def _plainly(read: Callable[[Value], TomlValue]) -> Converter:
    """A field of the same name."""
    return lambda draft, key, value: draft.set(key, read(value))


def _one_or_more(value: Value) -> TomlValue:
    return text(value) if isinstance(value, Text) else texts(value)


def _words(value: Value) -> TomlValue:
    """A command, as one string or as a list."""
    if isinstance(value, Text):
        try:
            empty = not shlex.split(value)
        except ValueError as error:
            raise Misfit(f"it cannot be split into words: {str(error).lower()}") from None
        if empty:
            raise Misfit("one without words cannot be declared; the image's is used")
        return text(value)
    result = texts(value)
    if not any(entry.value is not None for entry in result):
        raise Misfit("one without words cannot be declared; the image's is used")
    return result


def _env_file(draft: Draft, key: str, value: Value) -> None:
    entries = value if isinstance(value, Items) else [value]
    for entry in entries:
        path = entry.get("path") if isinstance(entry, Section) else entry
        if isinstance(path, Text) and _has_variables(draft.shared.project.file.parent, path):
            draft.comment(f"compose fills in the variables in {path}; here `$` stands for itself in it")
    draft.set(key, _env_entry(value) if isinstance(value, (Text, Section)) else each(value, _env_entry))
    draft.shared.relative = True


def _has_variables(folder: Path, name: str) -> bool:
    try:
        return _VARIABLE.search((folder / name).read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):
        return False  # which the program says when it reads the file


def _env_entry(value: Value) -> TomlValue:
    if not isinstance(value, Section):
        return text(value)
    table = Table()
    table.set("path", text(value.get("path")))
    if value.get("required") and not truth(value["required"]):
        table.set("required", False)
    if value.get("format") == "raw":
        table.set("format", "raw")
    return table if len(table.entries) > 1 else text(value.get("path"))


def _healthcheck(draft: Draft, key: str, value: Value) -> None:
    if not isinstance(value, Section):
        raise Misfit("a mapping was expected")
    table = Table(apart=True)
    for name, given in value.items():
        note = value.note(name)
        before = [*note.before, *unset(given)]
        try:
            if name in _HEALTH:
                table.set(name, _HEALTH[name](given), before=before, after=note.after)
            elif not name.startswith("x-"):
                raise Misfit("not a key of the Compose specification")
        except Misfit as error:
            table.entries.append(("", Entry(None, [*before, left_out(name, given, str(error))])))
    draft.set(key, table)


def _health_test(value: Value) -> TomlValue:
    if isinstance(value, Items):
        result = texts(value)
        if not result or result[0].value not in ("CMD", "CMD-SHELL", "NONE"):
            raise Misfit("it begins with CMD, CMD-SHELL or NONE")
        return result
    if not text(value):
        raise Misfit("it is empty")
    return text(value)


_HEALTH: dict[str, Callable[[Value], TomlValue]] = {
    "test": _health_test,
    "interval": duration,
    "timeout": duration,
    "retries": integer,
    "start_period": duration,
    "start_interval": duration,
    "disable": truth,
}


def _restart(draft: Draft, key: str, value: Value) -> None:
    written = text(value)
    written = "no" if written.lower() == "false" and isinstance(value, Text) and value.plain else written
    if not _RESTART.fullmatch(written):
        raise Misfit("it is no, always, unless-stopped or on-failure[:N]")
    draft.set(key, written)


def _pull_policy(draft: Draft, key: str, value: Value) -> None:
    """Compose's intervals are ours between two looks at the registry."""
    policy = text(value)
    every = _CHECKS.get(policy) or (duration(Text.written(policy[6:])) if policy.startswith("every_") else "")
    if every:
        draft.set("image_check", every, after=f"pull_policy: {policy}")
    elif policy == "build":
        draft.comment("not carried over: pull_policy: build (build the image before, and again when it changes)")
    elif policy in _PULLS:
        draft.set(key, _PULLS[policy])
    else:
        raise Misfit(f"it is one of {', '.join(_PULLS)}")


def _sysctls(draft: Draft, key: str, value: Value) -> None:
    table = pairs.pairs(value)
    draft.needs.sysctls(name for name, entry in table.entries if entry.value is not None)
    draft.set(key, table)


def _ulimits(draft: Draft, key: str, value: Value) -> None:
    if not isinstance(value, Section):
        raise Misfit("a mapping was expected")
    table = Table()
    for name, given in value.items():
        note = value.note(name)
        try:
            if isinstance(given, Section):
                limit: TomlValue = Table(entries=[(of, Entry(_limit(given.get(of)))) for of in ("soft", "hard")])
            else:
                limit = _limit(given)
            table.set(name, limit, before=list(note.before), after=note.after)
        except Misfit as error:
            table.comment(left_out(name, given, str(error)))
    draft.set(key, table)


def _limit(value: Value) -> int:
    if value == "unlimited":
        return -1
    return integer(value, -1, 2**63 - 1)


def _extra_hosts(draft: Draft, key: str, value: Value) -> None:
    if isinstance(value, Section):
        table = Table()
        for name, address in value.items():
            addresses = array(*map(text, address)) if isinstance(address, Items) else text(address)
            table.set(name, addresses, before=list(value.note(name).before), after=value.note(name).after)
        draft.set(key, table)
    else:
        draft.set(key, each(value, _extra_host))


def _extra_host(value: Value) -> str:
    try:
        extra_host(text(value))
    except NotThatForm as error:
        raise Misfit(str(error)) from None
    return text(value)


def _cpu_quota(draft: Draft, _key: str, value: Value) -> None:
    """The share of a period is the number of processors."""
    period = draft.raw.get("cpu_period")
    per = integer(period, 1) if period is not None else 100_000
    draft.set("cpus", round(integer(value) / per, 3), after=f"cpu_quota: {text(value)}")


def _container_name(draft: Draft, key: str, value: Value) -> None:
    name, ours = text(value), draft.shared.names[draft.source]
    if name == ours:
        kept = "and the name of the service finds it"
    elif "network_mode" in draft.raw or not is_alias(name):
        kept = f"and `{name}` is not kept"
    else:
        kept = f"and `{name}` is an alias in its networks"
    draft.left_out(key, value, f"containers are named {ours}-SLOT-xxxxx, {kept}")


def _profiles(draft: Draft, key: str, value: Value) -> None:
    """A service with profiles runs when one of them is active."""
    profiles = [text(item) for item in value] if isinstance(value, Items) else [text(value)]
    active = draft.shared.project.variables.values.get("COMPOSE_PROFILES", "").split(",")
    if not profiles or {*profiles, "*"} & set(active):
        draft.left_out(key, value, "it is active")
    else:
        draft.comment(f"compose starts it only with --profile {profiles[0]}: set replicas to have it run")
        draft.set("replicas", 0)


def _refused(draft: Draft, key: str, value: Value) -> None:
    draft.left_out(key, value, REFUSED[key])


def _refused_when_true(draft: Draft, key: str, value: Value) -> None:
    if truth(value):
        draft.left_out(key, value, REFUSED_WHEN_TRUE[key])


def _silent(_draft: Draft, _key: str, _value: Value) -> None:
    """What says nothing about what runs."""


FIELDS: dict[str, Converter] = {
    "image": image,
    "build": build,
    "command": _plainly(_words),
    "entrypoint": _plainly(_words),
    "environment": pairs.environment,
    "env_file": _env_file,
    "ports": attachments.ports,
    "volumes": storage.volumes,
    "networks": attachments.networks,
    "network_mode": attachments.network_mode,
    "depends_on": attachments.depends_on,
    "links": attachments.links,
    "secrets": attachments.files,
    "configs": attachments.files,
    "labels": pairs.labels,
    "annotations": pairs.as_pairs,
    "sysctls": _sysctls,
    "logging": pairs.logging,
    "user": _plainly(text),
    "working_dir": _plainly(text),
    "hostname": _plainly(placed),
    "stop_signal": _plainly(text),
    "stop_grace_period": _plainly(whole_seconds),
    "platform": _plainly(text),
    "init": _plainly(truth),
    "read_only": _plainly(truth),
    "privileged": storage.privileged,
    "tmpfs": storage.tmpfs,
    "dns": _plainly(_one_or_more),
    "dns_search": _plainly(_one_or_more),
    "cap_add": storage.capabilities,
    "cap_drop": _plainly(texts),
    "security_opt": storage.security,
    "group_add": _plainly(texts),
    "devices": storage.devices,
    "gpus": storage.gpus,
    "ulimits": _ulimits,
    "extra_hosts": _extra_hosts,
    "shm_size": _plainly(size),
    "mem_limit": _plainly(size),
    "mem_reservation": _plainly(size),
    "cpus": _plainly(number),
    "pids_limit": lambda draft, key, value: draft.set(key, max(integer(value, -1), 0)),
    "cpu_quota": _cpu_quota,
    "healthcheck": _healthcheck,
    "restart": _restart,
    "pull_policy": _pull_policy,
    "scale": attachments.scale,
    "deploy": deploy,
    "container_name": _container_name,
    "profiles": _profiles,
    "attach": _silent,
    "cpu_period": _silent,
    **dict.fromkeys(REFUSED, _refused),
    **dict.fromkeys(REFUSED_WHEN_TRUE, _refused_when_true),
}
