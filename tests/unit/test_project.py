"""What is generated or locked agrees with what it comes from, and the project stays free of what is this machine's."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# Written by tools, none of it tracked.
UNTRACKED = {".git", ".venv", ".demo", "__pycache__", "build", "dist", "node_modules"}
PACKAGE_INDEX = re.compile(rb"pypi\.org|pythonhosted|npmjs|--(extra-)?index-url|--find-links|--trusted-host|file://")


def project() -> dict[str, list[str]]:
    """Returns the declared requirements by the lock file that answers for them."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = declared["dependencies"]
    return {"requirements.txt": runtime, "requirements-dev.txt": runtime + declared["optional-dependencies"]["dev"]}


def locked(name: str) -> dict[str, str]:
    """Returns the locked version of each package."""
    entries = re.findall(r"^([\w.-]+)==([\w.!+-]+)", (ROOT / "deploy" / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in entries}


def tracked() -> Iterator[Path]:
    """Yields each file that belongs to the project, also where there is no repository to ask."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            f for f in folders if f not in UNTRACKED and not f.endswith(("_cache", ".egg-info", "hypothesis"))
        ]
        yield from (Path(folder, file) for file in files)


def test_generated_protocol_code_is_what_the_proto_files_give(tmp_path: Path) -> None:
    subprocess.run(
        [ROOT / "deploy" / "proto.sh", tmp_path],
        env={**os.environ, "VENV": sys.prefix},
        check=True,
        capture_output=True,
    )
    fresh = {file.relative_to(tmp_path): file.read_text() for file in tmp_path.rglob("*_pb2*")}
    checked_in = {
        file.relative_to(ROOT): file.read_text()
        for file in (ROOT / "proto").rglob("*_pb2*.py*")
        if file.suffix != ".pyc"
    }
    assert fresh, "nothing was generated"
    assert {str(f) for f in fresh} == {str(f) for f in checked_in}
    assert [str(f) for f in fresh if fresh[f] != checked_in[f]] == [], "run make proto"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_declared_dependency_is_locked_to_a_version_that_it_allows(name: str) -> None:
    versions = locked(name)
    for requirement in map(Requirement, project()[name]):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not locked in {name}: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but {version}: run make lock"


def test_both_lock_files_name_the_same_versions() -> None:
    runtime, dev = locked("requirements.txt"), locked("requirements-dev.txt")
    assert runtime, "nothing is locked"
    assert {package: dev.get(package) for package in runtime} == runtime


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(entries) == len(locked(name)), "something is not a plain NAME==VERSION"
    assert [line for line in entries if "--hash=sha256:" not in line] == []


def test_no_file_names_a_package_index() -> None:
    files = [file for file in tracked() if file != Path(__file__)]
    assert ROOT / "pyproject.toml" in files
    assert [str(file.relative_to(ROOT)) for file in files if PACKAGE_INDEX.search(file.read_bytes())] == []
