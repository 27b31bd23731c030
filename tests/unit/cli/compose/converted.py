"""The compose files in `projects`, and what they become.

`python -m tests.unit.cli.compose.converted` writes the files in `golden` anew: read what has changed before it is kept.
"""

import os
from pathlib import Path

from controller.cli.compose.conversion import toml_of
from controller.cli.compose.project import read_project

HERE = Path(__file__).parent
PROJECTS = HERE / "projects"
NAMES = sorted(path.name for path in PROJECTS.iterdir())
HOME = "/home/ada"
ENVIRONMENT = {"RUNNER_TOKEN": "glrt-1", "MEM_LIMIT": "2g"}


def compose_file(name: str) -> Path:
    """The one file of a project that is to be imported."""
    (found,) = [*(PROJECTS / name).glob("*compose.y*ml"), *(PROJECTS / name).glob("stack.yml")]
    return found


def converted(name: str) -> str:
    """The TOML for a project, as if its folder were in /srv. `HOME` has to be the home folder."""
    project = read_project(compose_file(name), ENVIRONMENT)
    project.folder = Path("/srv", name)
    return toml_of(project)


def golden(name: str) -> Path:
    return HERE / "golden" / f"{name}.toml"


if __name__ == "__main__":
    os.environ["HOME"] = HOME
    for name in NAMES:
        golden(name).write_text(converted(name), encoding="utf-8")
