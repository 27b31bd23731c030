import time
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.config_agent.problem import Path
from controller.config_agent.scanner import MAX_DEPTH, MAX_WORD, Malformed, Scanner

from .documents import Writer, damaged_documents, documents


def places(text: str) -> dict[Path, tuple[int, int]]:
    scanner = Scanner(text)
    scanner.scan()
    return {path: scanner.line_and_column(offset) for path, offset in scanner.offsets.items()}


def refusal(text: str) -> tuple[str, int, int]:
    scanner = Scanner(text)
    with pytest.raises(Malformed) as error:
        scanner.scan()
    return (str(error.value), *scanner.line_and_column(error.value.offset))


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every key and element that a parser sees."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


@settings(max_examples=500, deadline=None)
@given(documents)
def test_every_key_and_element_is_found_where_it_was_written(document: Writer) -> None:
    scanner = Scanner(document.text)
    scanner.scan()
    assert scanner.offsets == document.offsets
    assert set(paths(tomllib.loads(document.text))) == set(document.offsets)


@settings(max_examples=500, deadline=None)
@given(st.one_of(damaged_documents, st.text("ab10.=[]{},'\"#\n\\ -_:", max_size=40)))
@example('a = """\\""""')
@example("a = '''''''")
@example("[[a]]\n[a.b]\n[[a]]\n[a.b]")
def test_what_the_parser_takes_the_scanner_walks_whole(text: str) -> None:
    text = text.replace("\r\n", "\n")
    scanner = Scanner(text)
    try:
        scanner.scan()
    except Malformed:
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(text)
        return
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # the scanner leaves values to the parser
    assert set(paths(values)) == set(scanner.offsets)


@settings(deadline=None)
@given(st.text("ab\né ", max_size=30), st.data())
def test_line_and_column_lead_back_to_the_offset(text: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    scanner = Scanner(text)
    line, column = scanner.line_and_column(offset)
    assert scanner.offset(line, column) == offset
    assert text[:offset].split("\n")[line - 1 :] == [text[:offset].rpartition("\n")[2]]
    assert column == len(text[:offset].rpartition("\n")[2]) + 1


def test_a_header_is_found_at_each_of_its_names() -> None:
    assert places("\n [ services . 'web' ] # x\nimage = 'a'\n") == {
        ("services",): (2, 4),
        ("services", "web"): (2, 15),
        ("services", "web", "image"): (3, 1),
    }


def test_elements_of_a_list_over_several_lines_are_found() -> None:
    text = 'ports = [ # first\n  "80",\n  # none ]\n  { target = 1 }, [2]\n]\n'
    assert places(text) == {
        ("ports",): (1, 1),
        ("ports", 0): (2, 3),
        ("ports", 1): (4, 3),
        ("ports", 1, "target"): (4, 5),
        ("ports", 2): (4, 19),
        ("ports", 2, 0): (4, 20),
    }


def test_columns_count_characters_and_escapes_in_keys_are_undone() -> None:
    assert places('a."\\u00e9é" = "é"') == {("a",): (1, 1), ("a", "éé"): (1, 3)}


def test_strings_of_all_kinds_hide_what_looks_like_structure() -> None:
    text = 'a = """\n[b]\\"""c = 1"""""\nb = \'\'\'\n[c]\n\'\'\'\'\'\nc = "[d] # \\" x"\nd = \'\\\'\n'
    assert [*places(text)] == [("a",), ("b",), ("c",), ("d",)]
    assert [*tomllib.loads(text)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a = 1\nb", "expected `=`", 2, 2),
        ("a 1", "expected `=`", 1, 3),
        ("a = nginx", "expected a value; text stands in quotes", 1, 5),
        ("a =", "expected a value", 1, 4),
        ("a = 1 2", "expected the end of the line", 1, 7),
        ('a = "x\n', "this string does not end", 1, 5),
        ('a = """x"', "this string does not end", 1, 5),
        ("a = [1\n 2]", "expected `,` or `]`", 2, 2),
        ("a = [1,", "expected a value", 1, 8),
        ("a = {b = 1", "expected `,` or `}`", 1, 11),
        ("[a\nb = 1", "expected `]`", 1, 3),
        ("[[a]\n", "expected `]]`", 1, 4),
        ("= 1", "expected a key", 1, 1),
        ("a = 1\n[b]\n[b]", "given a second time; the first is at line 2, column 2", 3, 2),
        ("a = 1\n  a = 2", "given a second time; the first is at line 1, column 1", 2, 3),
        ("x = {a = 1, a = 2}", "given a second time; the first is at line 1, column 6", 1, 13),
        ("a = " + "1" * (MAX_WORD + 1), f"this number is longer than {MAX_WORD} characters", 1, 5),
    ],
)
def test_a_mistake_is_found_where_it_is(text: str, message: str, line: int, column: int) -> None:
    assert refusal(text) == (message, line, column)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "[" * 200_000,
        "a = " + "{a = " * 5000 + "1" + "}" * 5000,
        "a" + ".a" * 20_000 + " = 1",
        "[a" + ".a" * 20_000 + "]",
        "[[a" + ".a" * 5000 + "]]",
        "[a]\n" * 1 + "b" + ".b" * 5000 + " = 1",
    ],
)
def test_what_is_nested_too_deeply_is_refused_at_once(text: str) -> None:
    start = time.perf_counter()
    assert refusal(text)[0] == f"nested more than {MAX_DEPTH} deep"
    assert time.perf_counter() - start < 0.5


def test_the_deepest_that_is_allowed_passes() -> None:
    assert len(places("a = " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))) == MAX_DEPTH - 1
    assert len(places(".".join("a" * MAX_DEPTH) + " = 1")) == MAX_DEPTH
