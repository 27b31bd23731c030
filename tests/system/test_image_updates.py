"""A registry gets a newer image under the same tag: it is found, rolled out, gated by health, and tidied up after."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import docker as sdk
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import PrivateEngine
from tests.registry import push, real_registry

from .program import Program, eventually

pytestmark = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="docker-registry is not installed")


@pytest.fixture
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    """The tests' own engine, whose network can be entered."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    return shared_engine


@pytest.fixture
def registry(private: PrivateEngine, tmp_path: Path) -> Iterator[str]:
    with real_registry(private, tmp_path / "registry") as address:
        yield address


def digests(program: Program, docker: sdk.APIClient) -> set[str]:
    """Of the images that the service's ready containers run."""
    found: set[str] = set()
    for container in program.containers("web"):
        if container.status.ready:
            found.update(docker.inspect_image(container.status.image_id)["RepoDigests"])  # type: ignore[no-untyped-call]  # not in the stubs
    return {name.partition("@")[2] for name in found}


def test_a_newer_image_of_the_tag_is_rolled_out_and_a_broken_one_is_taken_back_for_good(
    program: Program, docker: sdk.APIClient, registry: str
) -> None:
    good = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"
    image = f"{registry}/web:1"
    first = push(docker, image, command=good)
    program.declare(f"""
[services.web]
image = "{image}"
replicas = 2
image_check = "10s"
update = {{ failure_action = "rollback", monitor = "1s" }}
""")
    program.start("--config", str(program.config))
    program.until_converged(web=2)
    assert digests(program, docker) == {first}
    second = push(docker, image, command="echo second; " + good)
    eventually(lambda: digests(program, docker) == {second} and program.converged(web=2), 60)
    broken = push(docker, image, command="exit 3")
    eventually(lambda: program.service("web").status.rollout.state == pb.Rollout.ROLLED_BACK, 60)
    assert digests(program, docker) == {second}
    assert program.service("web").spec.image_digest == broken, "which is what was found, and is not tried again"
    revisions = program.api.ListRevisions(pb.ListRevisionsRequest(name="web")).revisions
    assert [bool(it.failure) for it in revisions] == [True, False, False]
    pulled = {it.image_digest for it in revisions} - {""}
    assert pulled == {first, second, broken}
    program.declare('[services]\n[services.other]\nimage = "dock-runner-test:1"\n')
    eventually(lambda: program.service_or_none("web") is None)
    ours = f"{registry}/web"
    eventually(lambda: not docker.images(name=ours), 20)
