"""Tables for people: as kubectl's, upper-case heads and two spaces between columns; colours on a terminal alone."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

_GAP = "  "


class Cell(NamedTuple):
    """A text that others wrote or we did, and a colour of rich's."""

    text: str
    style: str = ""


GOOD, BUSY, BAD = "green", "yellow", "red"

Row = Sequence[str | Cell]


def plain(text: str) -> str:
    """The text on one line, without anything that a terminal would obey."""
    text = " ".join(text.split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Table:
    """Prints rows as they come; columns grow when they must, so a table that is printed at once is aligned.

    Without heads none are printed. ``indent`` is put before each line.
    """

    def __init__(self, heads: Sequence[str] = (), *, indent: str = "") -> None:
        self._heads = heads
        self._widths: list[int] = []
        self._indent = indent
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def print(self, rows: Sequence[Row]) -> None:
        """Prints rows, before the first ones the heads."""
        lines = [[Cell(plain(cell)) if isinstance(cell, str) else Cell(plain(cell.text), cell.style) for cell in row]
                 for row in rows]  # fmt: skip
        if self._heads:
            lines.insert(0, [Cell(head) for head in self._heads])
            self._heads = ()
        for line in lines:
            known = self._widths or [0] * len(line)
            self._widths = [max(width, cell_len(cell.text)) for width, cell in zip(known, line, strict=True)]
        for line in lines:
            self._console.print(self._line(line))

    def _line(self, cells: Sequence[Cell]) -> Text:
        line = Text(self._indent)
        for index, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            line.append(cell.text, cell.style)
            if any(later.text for later in cells[index + 1 :]):
                line.append(" " * (width - cell_len(cell.text)) + _GAP)
        return line
