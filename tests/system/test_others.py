"""Containers of others survive everything."""

import contextlib
from collections.abc import Callable, Iterator

import docker as sdk
import pytest

from tests.conftest import remove_instance
from tests.private_engine import IMAGE

from .program import Program, eventually

Run = Callable[..., str]

WEB = f'[services.web]\nimage = "{IMAGE}"\nreplicas = 2\n'


@pytest.fixture
def run(docker: sdk.APIClient) -> Iterator[Run]:
    """Runs foreign containers; what a test ran is removed after it."""
    made: list[str] = []

    def run(name: str, image: str = IMAGE, labels: dict[str, str] | None = None) -> str:
        made.append(docker.create_container(image, name=name, labels=labels)["Id"])
        docker.start(made[-1])
        return made[-1]

    yield run
    for container in made:
        with contextlib.suppress(sdk.errors.NotFound):
            docker.remove_container(container, force=True)


def test_foreign_containers_with_names_and_labels_like_ours_are_never_touched(
    program: Program, docker: sdk.APIClient, instance: str, run: Run
) -> None:
    program.declare(WEB)
    program.start()
    program.until_converged(web=2)
    ours = docker.inspect_container(program.ids("web")[1])
    committed = docker.commit(ours["Id"], repository=f"dock-runner-test-{instance}")["Id"]
    foreign = [
        run(f"{instance}-plain"),
        run(f"{instance}-web-1"),
        run(f"{instance}-web-3-aaaaa"),
        run(ours["Id"][:12]),
        run(f"{instance}-labelled", labels=ours["Config"]["Labels"]),
        run(f"{instance}-from-our-image", committed),
        run(f"{instance}-other", labels={"dock-runner.instance": f"{instance}-other"}),
    ]
    before = {it: docker.inspect_container(it)["State"]["StartedAt"] for it in foreign}

    program.declare(WEB.replace("replicas = 2", "replicas = 4"))
    program.until_converged(web=4)
    docker.kill(program.ids("web")[1])
    program.until_converged(web=4)
    program.kill()
    program.start("--resync", "1s")
    program.until_converged(web=4)
    program.declare(WEB.replace("replicas = 2", "replicas = 1"))
    program.until_converged(web=1)
    program.declare(f'[services.other]\nimage = "{IMAGE}"\n')
    eventually(lambda: program.converged(other=1) and not program.containers("web"))

    after = {it: docker.inspect_container(it)["State"] for it in foreign}
    assert {it: state["StartedAt"] for it, state in after.items()} == before
    assert all(state["Running"] for state in after.values())
    docker.remove_container(foreign[5], force=True)
    docker.remove_image(committed, force=True)


def test_two_instances_share_an_engine_and_see_only_their_own(
    program: Program, tmp_path_factory: pytest.TempPathFactory, engine_host: str, docker: sdk.APIClient, instance: str
) -> None:
    program.declare(WEB)
    program.start()
    program.until_converged(web=2)
    other_name = f"{instance}b"
    try:
        with Program(tmp_path_factory.mktemp("other"), "--docker-host", engine_host, "--instance", other_name) as other:
            other.declare(WEB)
            other.start()
            other.until_converged(web=2)
            assert set(program.ids("web").values()).isdisjoint(other.ids("web").values())
            before = program.ids("web")
            other.declare(f'[services.api]\nimage = "{IMAGE}"\n')
            eventually(lambda: other.converged(api=1) and not other.containers("web"))
            assert program.ids("web") == before
    finally:
        remove_instance(docker, other_name)
