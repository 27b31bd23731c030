"""Label selectors, in the syntax of Kubernetes: ``a=b, c!=d, e in (x,y), f notin (z), g, !h``."""

import re
from collections.abc import Callable, Mapping

from controller.errors import Invalid, Violation

Selector = Callable[[Mapping[str, str]], bool]

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"[-A-Za-z0-9_./:@+]*"
_TERM = re.compile(
    rf"\s*(?:"
    rf"(?P<set_key>{_KEY})\s+(?P<set_op>in|notin)\s*\((?P<set>[^()]*)\)"
    rf"|(?P<key>{_KEY})\s*(?P<op>==|=|!=)\s*(?P<value>{_VALUE})"
    rf"|(?P<absent>!)?\s*(?P<exists>{_KEY})"
    rf")\s*(?:,|$)"
)


def everything(_: Mapping[str, str]) -> bool:
    """The selector of an empty text."""
    return True


def parse_selector(text: str) -> Selector:
    """The predicate over labels that ``text`` describes; all terms must hold.

    ``!=`` and ``notin`` also match where the label is absent, as in Kubernetes.

    Raises:
        Invalid: the text is no selector; says from where on.
    """
    terms: list[Selector] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or (text[: match.end()].rstrip().endswith(",") and not text[match.end() :].strip()):
            rest = text[at:].strip() if match is None else ","
            raise Invalid([Violation("label_selector", f"cannot read {rest!r}; write a=b, a!=b, a in (b,c), a or !a")])
        terms.append(_term(match))
        at = match.end()
    if not terms:
        return everything
    return lambda labels: all(term(labels) for term in terms)


def _term(match: re.Match[str]) -> Selector:
    if key := match["set_key"]:
        values = frozenset(value.strip() for value in match["set"].split(","))
        if match["set_op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if key := match["key"]:
        value = match["value"]
        if match["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    name, absent = match["exists"], match["absent"] is not None
    return lambda labels: (name in labels) is not absent
