"""Environments, labels and whatever else has a name and a text."""

from .document import NO_NOTE, Items, Note, Section, Text, Value
from .draft import Draft
from .errors import Misfit
from .layout import Array, Entry, Table
from .merge import mapping
from .scalars import left_out, placed, text, unset

_RESERVED = "dock-runner."


def environment(draft: Draft, key: str, value: Value) -> None:
    """A variable without a value is taken from the environment of compose."""
    section = mapping(value)
    if not isinstance(section, Section):
        raise Misfit("a mapping or a list was expected")
    table = Table()
    variables = draft.shared.project.variables
    for name, item in section.items():
        note = section.note(name)
        before = [*note.before, *unset(item)]
        try:
            if not name or "=" in name:
                raise Misfit("a name of a variable is not empty and has no `=`")
            if item is None:
                if name not in variables.values:
                    raise Misfit("it is not set here; compose hands on its own environment's")
                variables.used[name] = None
                item = Text.written(variables.values[name])
            table.set(name, placed(item), before=before, after=note.after)
        except Misfit as error:
            table.entries.append(("", Entry(None, [*before, left_out(name, item, str(error))])))
    draft.set(key, table)


def labels(draft: Draft, key: str, value: Value) -> None:
    """A list stays one: labels have dots, which in a table are quotes."""
    if isinstance(value, Items):
        array = Array(_label(item, note) for item, note in value.noted())
        last = {_name(entry): index for index, entry in enumerate(array)}
        for index, entry in enumerate(array):
            if entry.value is not None and last[_name(entry)] != index:
                entry.before.append(left_out("", value[index], "it is given again below, which counts"))
                entry.value = None
        draft.set(key, array)
        return
    draft.set(key, pairs(value, reserved=_RESERVED))


def _name(label: Entry) -> str:
    return str(label.value).partition("=")[0]


def _label(item: Value, note: Note) -> Entry:
    before = [*note.before, *unset(item)]
    try:
        written = placed(item)
        if written.startswith((_RESERVED, "=")):
            raise Misfit(f"labels that begin with {_RESERVED} are Dock Runner's own, and each has a name")
        return Entry(written if "=" in written else f"{written}=", before, note.after)
    except Misfit as error:
        return Entry(None, [*before, left_out("", item, str(error))])


def pairs(value: Value, reserved: str = "\0") -> Table:
    """A mapping of texts, or a list of `name=value`."""
    section = mapping(value)
    if not isinstance(section, Section):
        raise Misfit("a mapping or a list was expected")
    table = Table()
    for name, item in section.items():
        note = section.notes.get(name, NO_NOTE)
        before = [*note.before, *unset(item)]
        try:
            if name.startswith(reserved) or not name:
                raise Misfit(f"names that begin with {reserved} are Dock Runner's own")
            table.set(name, "" if item is None else placed(item), before=before, after=note.after)
        except Misfit as error:
            table.entries.append(("", Entry(None, [*before, left_out(name, item, str(error))])))
    return table


def as_pairs(draft: Draft, key: str, value: Value) -> None:
    draft.set(key, pairs(value))


def logging(draft: Draft, key: str, value: Value) -> None:
    """Driver and options."""
    if not isinstance(value, Section):
        raise Misfit("a mapping was expected")
    table = Table()
    for name, item in value.items():
        if name == "driver":
            table.set(name, text(item))
        elif name == "options":
            table.set(name, pairs(item))
        elif not name.startswith("x-"):
            table.comment(left_out(name, item, "not a key of the Compose specification"))
    draft.set(key, table)
