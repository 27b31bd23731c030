"""The guide for authors of handlers says what is true: its examples are loaded and run, its tables are complete."""

import inspect
import logging
import re
from pathlib import Path

import pytest

import controller
from controller.framework import Registry, load, on
from controller.store import CONTAINER
from proto.dockrunner import v1 as pb
from tests.unit.framework.test_arguments import FURTHER, PUBLIC
from tests.unit.framework.world import running

GUIDE = Path(controller.__file__).parents[1] / "docs" / "handlers.md"
TEXT = GUIDE.read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
DECORATORS = [
    "startup", "cleanup", "probe", "validate", "mutate", "create", "update", "field", "resume", "delete", "event",
    "reconcile", "timer", "daemon", "index",
]  # fmt: skip


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def loaded(path: Path) -> Registry:
    """The handlers of a module that declares them as the user's do, in a registry of their own."""
    before = list(on.default.handlers)
    try:
        load(on.default, str(path))
        return Registry([handler for handler in on.default.handlers if handler not in before])
    finally:
        on.default.handlers[:] = before


@pytest.fixture(params=range(len(BLOCKS)), ids=lambda number: re.findall(r"def (\w+)", BLOCKS[number])[0])
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The handlers of one example of the guide."""
    monkeypatch.delenv("NOTIFY_URL", raising=False)
    path = tmp_path / "notify.py"
    path.write_text(BLOCKS[request.param])
    return loaded(path)


def test_every_example_loads_and_declares_handlers(example: Registry) -> None:
    assert example.handlers
    assert {handler.source for handler in example.handlers} == {"notify"}
    assert not any(handler in on.default.handlers for handler in example.handlers)


async def test_no_example_fails_in_the_life_of_a_service(example: Registry, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"team": "shop", "dns": "yes", "sized": "auto", "backup": "yes"}
    async with running(example) as world:
        await world.declare(labels=labels, ports=[pb.Port(target=80)])
        world.create_container()
        await world.clock.advance(700)
        await world.declare(image="web:2", replicas=7, ports=[pb.Port(target=80)])
        world.label("tier", "front")
        world.write_status(1)
        await world.clock.advance(700)
        await world.operator.probe()
        world.store.delete(CONTAINER, "web-1-abcde")
        world.delete()
        await world.until(lambda: not world.is_there())  # daemons in threads end once they are told
        assert world.said() == []
    failed = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert failed == []


def test_the_table_of_decorators_names_each_of_them_once() -> None:
    named = [re.findall(r"@on\.(\w+)", cells[0])[0] for cells in table("The decorators")]
    assert named == DECORATORS
    functions = {
        name for name, value in vars(on).items() if inspect.isfunction(value) and inspect.getmodule(value) is on
    }
    assert set(DECORATORS) == {name for name in functions if not name.startswith("_")}


@pytest.mark.parametrize("name", ["timer", "daemon"])
def test_the_table_of_decorators_tells_the_defaults_that_they_have(name: str) -> None:
    (options,) = [cells[2] for cells in table("The decorators") if cells[0].startswith(f"`@on.{name}(")]
    told = dict(re.findall(r"`(\w+)=(\w+)`", options))
    parameters = inspect.signature(getattr(on, name)).parameters.values()
    defaults = {it.name: it.default for it in parameters if it.default is not inspect.Parameter.empty}
    assert {key: float(value) if value.isdigit() else value == "True" for key, value in told.items()} == defaults


def test_the_tables_name_every_filter_and_option_there_is() -> None:
    filters = {name for cells in table("Filters") for name in re.findall(r"`(\w+)=", cells[0])}
    assert filters == set(on.Filters.__annotations__)
    options = {name for cells in table("Options") for name in re.findall(r"`(\w+)=", cells[0])}
    everything = set(on.Options.__annotations__)
    assert options == everything - filters - set(on.Identity.__annotations__)


def test_the_table_of_arguments_names_all_that_are_promised() -> None:
    named = {name for cells in table("Arguments") for name in re.findall(r"`(\w+)`", cells[0])}
    assert named == PUBLIC | {name for further in FURTHER.values() for name in further}


def test_every_link_within_the_guide_leads_somewhere() -> None:
    def anchor(heading: str) -> str:
        return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")

    anchors = {anchor(heading) for heading in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= anchors
