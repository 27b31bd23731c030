"""A project of compose as the text of a TOML file."""

from .attachments import networks
from .document import Items, Section, Value
from .draft import Draft, Shared, awaited, further_names, new_names
from .errors import Misfit
from .fields import FIELDS
from .layout import Entry, Table, lines, toml
from .project import RESOURCES, Project
from .resources import resources
from .scalars import unset

_DAEMON = 'compose\'s default is not to restart; add restart = "no" for a job that runs once'
_REFUSED = "What follows reaches out of its containers, which is refused without a --policy file such as:"
_PLACEHOLDERS = ("{slot}", "{service}", "{instance}")
_FILLED_IN = {"hostname", "environment", "volumes", "labels"}
_OTHER_KEY = "not a key of the Compose specification"


def toml_of(project: Project) -> str:
    """The TOML that does the same."""
    names = new_names(project.services)
    shared = Shared(project, names, further_names(project.services, names), awaited(project.services))
    services = Table()
    for source, raw in project.services.items():
        assert isinstance(raw, Section)  # noqa: S101  # seen when it was read
        services.entries.append((names[source], _service(Draft(source, raw, shared))))
    document = Table(entries=[("services", Entry(services))])
    for kind in RESOURCES:
        found = resources(shared, kind)
        if found.entries:
            document.set(kind, found)
    return toml(_header(shared), document)


def _service(draft: Draft) -> Entry:
    note = draft.shared.project.services.note(draft.source)
    before, name = list(note.before), draft.shared.names[draft.source]
    if name != draft.source:
        before.append(f"in compose `{draft.source}`, which is no name for a service here; {_reached(draft)}")
    for key in draft.raw:
        if not key.startswith("x-"):
            _field(draft, key)
    if draft.aliases and not {"networks", "network_mode"} & draft.raw.keys():
        networks(draft, "networks", Items())
    if draft.table.get("image") is None:
        draft.comment("image is missing, and there is nothing to build")
    if draft.table.get("restart") is None:
        if draft.source in draft.shared.awaited:
            draft.set("restart", "no", after="others wait for its end")
        else:
            draft.comment(_DAEMON)
    return Entry(draft.table, before, note.after)


def _reached(draft: Draft) -> str:
    kept = "network_mode" not in draft.raw and draft.source in draft.aliases
    return "it is an alias in its networks" if kept else "it is no longer known by it"


def _field(draft: Draft, key: str) -> None:
    """Carries one key over, with the comments that stand at it."""
    value, note = draft.raw[key], draft.raw.note(key)
    count = len(draft.table.entries)
    convert = FIELDS.get(key)
    try:
        if convert is None:
            raise Misfit(_OTHER_KEY)
        if value is None:
            if key != "networks":
                raise Misfit("it has no value")
        else:
            convert(draft, key, value)
    except Misfit as error:
        draft.left_out(key, value, str(error))
    if len(draft.table.entries) == count:
        return
    added = draft.table.entries[count:]
    lists_say = isinstance(value, Items) or (isinstance(value, Section) and key in ("environment", "networks"))
    if key in _FILLED_IN and any(word in _flat(value) for word in _PLACEHOLDERS):
        added[0][1].before.insert(0, f"{', '.join(_PLACEHOLDERS)} are filled in here")
    added[0][1].before[:0] = [*note.before, *([] if lists_say else unset(value))]
    valued = next((entry for _, entry in added if entry.value is not None), None)
    if note.after and valued is not None:
        valued.after = valued.after or note.after
    elif note.after:
        added[0][1].before.insert(0, note.after)


def _flat(value: Value) -> str:
    """All of a value's texts in one."""
    if isinstance(value, Section):
        return "\n".join(map(_flat, value.values()))
    return "\n".join(map(_flat, value)) if isinstance(value, Items) else str(value or "")


def _header(shared: Shared) -> list[str]:
    project = shared.project
    said = [*project.header, *([""] if project.header else [])]
    said.append(f"Written by dock-runner import from {project.file.name}.")
    if shared.relative:
        said.append("Relative paths start from the folder of this file: keep it beside the compose file.")
    if any(needs.host_paths for needs in shared.needs.values()):
        said.append("Folders of the host that are mounted have to exist; compose makes those that do not.")
    if project.variables.used:
        said.append(f"Filled in from the environment and .env: {', '.join(sorted(project.variables.used))}.")
    said += project.remarks
    return [*said, *_policy(shared)]


def _policy(shared: Shared) -> list[str]:
    """What a policy has to say, for each service by itself."""
    said: list[str] = []
    for name in shared.names.values():
        needed = shared.needs[name].policy() if name in shared.needs else Table()
        if needed.entries:
            said += [f"    [services.{name}]", *(f"    {line}" for line in lines(needed))]
    return ["", _REFUSED, *said] if said else []
