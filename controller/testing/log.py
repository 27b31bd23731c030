"""What the program and its handlers log while a test runs."""

import logging

_PROGRAM = "dock_runner"


class LogLines(logging.Handler):
    """Collects lines such as ``WARNING web: no answer``, from the level that the program logs by default."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        self.lines: list[str] = []
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def begin(self) -> None:
        """Listens from now on."""
        program = logging.getLogger(_PROGRAM)
        self._level = program.level
        program.setLevel(min(program.level or logging.INFO, logging.INFO))
        program.addHandler(self)

    def end(self) -> None:
        """Listens no more, and leaves logging as it was."""
        program = logging.getLogger(_PROGRAM)
        program.removeHandler(self)
        program.setLevel(self._level)
