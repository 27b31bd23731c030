"""Single values of TOML as single values of messages."""

from datetime import date, datetime, time
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from .document import Number
from .problem import NotThatForm, show

BOOL, STRING = FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_STRING
_FLOATS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number with a fraction"),
    (str, "a string"),
    (dict, "a table"),
    (list, "a list"),
    ((date, datetime, time), "a date or a time"),
)


def scalar(field: FieldDescriptor, value: Any) -> bool | int | float | str | bytes:
    """The value as a field of that type holds it.

    Raises:
        NotThatForm: it does not fit.
    """
    kind = field.cpp_type
    if kind in _INTEGERS:
        return _integer(value, *_INTEGERS[kind])
    if kind == BOOL and isinstance(value, bool):
        return value
    if kind in _FLOATS and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind == STRING and isinstance(value, str):
        return value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value
    if field.enum_type is not None:
        return _enum_number(field.enum_type, value)
    raise NotThatForm(mismatch(_scalar_name(kind), value))


def as_text(value: Any) -> str:
    """A scalar as the text of a variable or a label.

    Raises:
        NotThatForm: it is no scalar.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return value.text
    if isinstance(value, (str, int)):
        return str(value)
    raise NotThatForm(mismatch("a string, a number, true or false", value))


def mismatch(expected: str, value: Any) -> str:
    """What is said of a value of another type; never the value itself."""
    return f"expected {expected}, got {type_name(type(value))}"


def type_name(kind: type) -> str:
    """A type of Python as TOML calls it."""
    return next((name for types, name in _TYPES if issubclass(kind, types)), kind.__name__)


def _scalar_name(kind: int) -> str:
    if kind == BOOL:
        return "true or false"
    return "a string" if kind == STRING else "a number"


def _integer(value: Any, lowest: int, highest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotThatForm(mismatch("a whole number", value))
    if not lowest <= value <= highest:
        raise NotThatForm(f"expected a whole number from {lowest} to {highest}")
    return value


def _enum_number(enum: EnumDescriptor, value: Any) -> int:
    if not isinstance(value, str):
        raise NotThatForm(mismatch("a string", value))
    numbers = {item.name.lower().replace("_", "-"): item.number for item in enum.values}
    if value not in numbers:
        raise NotThatForm(f"expected one of {', '.join(numbers)}, got {show(value)}")
    return numbers[value]
