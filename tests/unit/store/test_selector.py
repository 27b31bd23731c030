"""Label selectors: Kubernetes' syntax and its treatment of absent labels."""

import pytest

from controller.errors import Invalid
from controller.store import everything, parse_selector

LABELS = {"app": "web", "tier": "front", "example.org/team": "shop", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("other!=x", True),
        ("other=x", False),
        ("empty=", True),
        ("other=", False),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("other in (x)", False),
        ("app notin (db,x)", True),
        ("app notin (web)", False),
        ("other notin (x)", True),
        ("app", True),
        ("other", False),
        ("!other", True),
        ("! app", False),
        ("example.org/team=shop", True),
        ("app=web,tier=front,!other", True),
        ("app=web,tier=back", False),
        (" app = web , tier in ( front , back ) ", True),
        ("in", False),
        ("notin=x", False),
    ],
)
def test_what_matches(text: str, matches: bool) -> None:
    assert parse_selector(text)(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["=", "a=b,", ",a=b", "a=b,,c=d", "a in", "a in (b", "a in b)", "a b", "!a=b", "a=b c", "-a", "a;b"]
)
def test_what_is_no_selector_says_so(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_selector(text)
    assert [violation.field for violation in caught.value.violations] == ["label_selector"]


def test_an_empty_selector_is_recognisable() -> None:
    assert parse_selector("") is everything
    assert everything({})
