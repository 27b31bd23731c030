"""Containers that can't run: it is said why, retries are few, nothing piles up, and all heals when the cause goes."""

import itertools
import json
import time
from collections.abc import Iterator

import docker as sdk
import pytest

from tests.private_engine import IMAGE, PrivateEngine
from tests.registry import listen

from .declared import SLEEP, Declared, Service, calls, shared_program
from .program import eventually

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def declared(engine_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    folder = tmp_path_factory.mktemp("trouble")
    policy = folder / "policy.toml"
    policy.write_text(f'allowed_host_paths = ["{folder}"]\n')
    with shared_program(folder, engine_host, "--policy", str(policy)) as declared:
        yield declared


@pytest.fixture(autouse=True)
def _forgotten(declared: Declared) -> Iterator[None]:
    yield
    declared.forget()


@pytest.fixture
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    """The tests' own engine, whose network can be entered."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    return shared_engine


@pytest.fixture
def image(docker: sdk.APIClient, declared: Declared) -> Iterator[str]:
    """An image that no one else has and that no registry has either."""
    name = f"127.0.0.1:9/dock-runner-test:own-{next(_numbers)}"
    make_image(docker, name)
    yield name
    declared.forget()
    declared.until_gone()
    for left in docker.images(name=name.rpartition(":")[0]):
        docker.remove_image(left["Id"], force=True)


def make_image(docker: sdk.APIClient, name: str) -> str:
    repository, _, tag = name.rpartition(":")
    made = docker.create_container(IMAGE, labels={"made": str(time.monotonic_ns())})["Id"]
    found: str = docker.commit(made, repository, tag)["Id"]
    docker.remove_container(made)
    return found


def shell(command: str) -> str:
    return f'image = "{IMAGE}"\ncommand = ["sh", "-c", {json.dumps(command)}]'


def watched(service: Service, operation: str, seconds: float) -> int:
    """How often the engine was asked in some seconds; meanwhile there never were two containers."""
    before, end = calls(service.program, operation), time.monotonic() + seconds
    while time.monotonic() < end:
        assert len(service.in_docker()) <= 1
        time.sleep(0.1)  # nothing is waited for: what happens in the time is what is measured
    return calls(service.program, operation) - before


# What keeps a container from being started.


def test_a_host_port_that_another_process_holds_is_named_and_taken_when_it_is_free(
    declared: Declared, private: PrivateEngine
) -> None:
    with listen(private) as held:
        port = held.getsockname()[1]
        web = declared.declare("port", f'image = "{IMAGE}"\nports = ["127.0.0.1:{port}:80"]')
        web.until_degraded("ContainerFailing", f"127.0.0.1:{port}: bind: address already in use")
        assert web.condition("Ready").message.startswith("0 of 1 ready: ")
        assert [it.status.reason for it in web.containers] == ["PortTaken"]
        assert any("address already in use" in it.message for it in web.events() if it.type == "Warning")
        assert watched(web, "start", 1) <= 8
        assert len(web.in_docker("created")) == 1
        (before,) = web.in_docker()
    web.until_converged()
    assert web.in_docker() == [before], "the container that was made was started"
    assert web.condition("Degraded").status == "False"


def test_a_port_of_a_range_that_another_process_holds_is_passed_over(
    declared: Declared, private: PrivateEngine
) -> None:
    with listen(private) as held:
        port = held.getsockname()[1]
        web = declared.declare("range", f'image = "{IMAGE}"\nports = ["127.0.0.1:{port}-{port + 3}:80"]')
        web.until_converged(seconds=15)
        (container,) = web.containers
        assert port < int(container.status.ports[0].published) <= port + 3
        assert len(web.in_docker()) == 1


@pytest.mark.parametrize(
    ("name", "entrypoint", "says"),
    [
        ("absent", "/no/such/program", "/no/such/program: no such file or directory"),
        ("plain", "/etc/passwd", 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_program_that_cannot_be_executed_is_named_and_a_better_one_takes_its_place(
    declared: Declared, name: str, entrypoint: str, says: str
) -> None:
    web = declared.declare(name, f'image = "{IMAGE}"\nentrypoint = ["{entrypoint}"]')
    web.until_degraded("ContainerFailing", says)
    assert [it.status.reason for it in web.containers] == ["StartFailed"]
    assert any(says in it.message for it in web.events() if it.type == "Warning")
    assert watched(web, "start", 1) <= 8
    assert len(web.in_docker("created")) == 1
    declared.declare(name, shell(SLEEP))
    web.until_converged()
    assert len(web.in_docker()) == 1


def test_a_folder_that_is_not_there_is_named_and_used_when_it_appears(declared: Declared) -> None:
    folder = declared.program.folder / "later"
    web = declared.declare("folder", f'image = "{IMAGE}"\nvolumes = ["{folder}:/data"]')
    web.until_degraded("ContainerFailing", f"bind source path does not exist: {folder}")
    assert any(str(folder) in it.message for it in web.events() if it.type == "Warning")
    assert watched(web, "create", 1) <= 8
    folder.mkdir()
    web.until_converged()
    assert len(web.in_docker()) == 1


# Images.


def test_an_image_that_nobody_has_is_named_and_used_when_it_is_loaded(
    declared: Declared, docker: sdk.APIClient, image: str
) -> None:
    docker.remove_image(image, force=True)
    web = declared.declare("unknown", f'image = "{image}"')
    web.until_degraded("ContainerFailing", "connection refused")
    assert f"{image}: " in web.condition("Ready").message
    assert web.events("RegistryUnreachable")
    assert watched(web, "pull", 2) <= 4
    assert not web.in_docker()
    make_image(docker, image)
    web.until_converged()


def test_a_replica_of_an_image_whose_name_was_removed_is_replaced_by_one_of_the_same_image(
    declared: Declared, docker: sdk.APIClient, image: str
) -> None:
    web = declared.declare("untagged", f'image = "{image}"\nreplicas = 2')
    web.until_converged(2)
    before = {docker.inspect_container(it)["Image"] for it in web.in_docker()}
    pulls = calls(declared.program, "pull")
    docker.remove_image(image, force=True)
    lost = web.ids[1]
    docker.kill(lost)
    eventually(lambda: web.ids.get(1) not in (None, lost))
    web.until_converged(2)
    assert {docker.inspect_container(it)["Image"] for it in web.in_docker()} == before
    assert calls(declared.program, "pull") == pulls, "no registry need be asked"


def test_a_replica_whose_image_is_gone_for_good_says_so_until_there_is_another(
    declared: Declared, docker: sdk.APIClient, image: str
) -> None:
    web = declared.declare("gone", f'image = "{image}"')
    web.until_converged()
    docker.remove_image(image, force=True)  # its name
    id_ = docker.inspect_container(web.ids[1])["Image"]
    declared.declare("gone", f'image = "{image}"\nreplicas = 0')
    eventually(lambda: not web.in_docker())
    docker.remove_image(id_, force=True)
    declared.declare("gone", f'image = "{image}"\nreplicas = 1')
    web.until_degraded("ContainerFailing", "connection refused")
    assert not web.in_docker()
    make_image(docker, image)
    web.until_converged()


# Containers that end.


def test_a_crash_loop_is_told_with_its_exit_status_and_last_words_and_is_over_when_its_cause_is(
    declared: Declared,
) -> None:
    folder = declared.program.folder / "crash"
    folder.mkdir()
    command = f"echo starting >&2; [ -e /data/config ] || {{ echo no config >&2; exit 7; }}; {SLEEP}"
    web = declared.declare("crash", shell(command) + f'\nvolumes = ["{folder}:/data"]')
    web.until_degraded("CrashLoop", "exited with 7, ")
    assert "times in a row" in web.condition("Degraded").message
    assert web.condition("Ready").status == "False"
    (event,) = eventually(lambda: web.events("CrashLoop"))[:1]
    assert event.type == "Warning"
    assert event.message.startswith("exited with 7, ")
    assert "starting | no config" in event.message
    (before,) = web.in_docker()
    (folder / "config").touch()
    eventually(lambda: web.ready == 1)
    assert web.in_docker() == [before], "Docker itself started it again"
    eventually(lambda: web.condition("Degraded").status == "False")
    assert len(web.events("CrashLoop")) <= 4, "it is told more and more seldom"


def test_fresh_containers_that_crash_are_replaced_more_and_more_seldom(declared: Declared) -> None:
    web = declared.declare("fresh", shell("echo fresh; exit 3") + '\nrestart = "replace"')
    web.until_degraded("CrashLoop", "exited with 3, ")
    eventually(lambda: any("exited with 3" in it.message and "fresh" in it.message for it in web.events("CrashLoop")))
    before, end = calls(declared.program, "create"), time.monotonic() + 2
    most = 0
    while time.monotonic() < end:
        most = max(most, len(web.in_docker()))
        time.sleep(0.1)  # nothing is waited for: what happens in the time is what is measured
    assert calls(declared.program, "create") - before <= 5
    assert most <= 2, "the one that ended last, and its successor"
    declared.declare("fresh", shell(SLEEP) + '\nrestart = "replace"')
    web.until_converged()
    assert len(web.in_docker()) == 1


def test_too_little_memory_is_told_as_that_and_more_of_it_heals_in_place(declared: Declared) -> None:
    command = f"echo filling; x=0123456789abcdef; while [ ${{#x}} -lt 16000000 ]; do x=$x$x; done; echo full; {SLEEP}"
    web = declared.declare("memory", shell(command) + '\nmem_limit = "8m"')
    web.until_degraded("CrashLoop", "out of memory, ")
    event = eventually(lambda: web.events("CrashLoop"))[0]
    assert event.message.startswith("out of memory, ")
    assert "filling" in event.message
    assert any(it.status.oom_killed for it in web.containers)
    (before,) = web.in_docker()
    declared.declare("memory", shell(command) + '\nmem_limit = "256m"')
    eventually(lambda: web.ready == 1)
    assert web.in_docker() == [before]


# Containers that run and don't work.

CHECK = '[services.{0}.healthcheck]\ntest = ["CMD", "stat", "/tmp/ok"]\ninterval = "200ms"\nretries = 2\n'


def test_an_unhealthy_container_is_replaced_and_the_other_left_alone(declared: Declared, docker: sdk.APIClient) -> None:
    body = shell(f"touch /tmp/ok; {SLEEP}") + "\nreplicas = 2"
    web = declared.declare("sick", body, tables=CHECK.format("sick"))
    web.until_converged(2)
    before = web.ids
    exec_ = docker.exec_create(before[1], ["rm", "/tmp/ok"])["Id"]  # noqa: S108  # of the container
    docker.exec_start(exec_)
    eventually(lambda: web.ids.get(1) not in (None, before[1]))
    web.until_converged(2)
    assert web.ids[2] == before[2]
    assert sorted(web.in_docker()) == sorted(web.ids.values()), "the one that was replaced is gone"
    assert any("unhealthy" in it.message for it in web.events("Replacing"))


def test_what_is_never_healthy_is_replaced_more_and_more_seldom_and_one_at_a_time(declared: Declared) -> None:
    web = declared.declare("never", shell(SLEEP) + "\nreplicas = 2", tables=CHECK.format("never"))
    web.until_degraded("ContainerFailing", "unhealthy")
    assert web.condition("Ready").message.startswith("0 of 2 ready: ")
    eventually(lambda: len(web.events("Replacing")) >= 2)
    before, end = calls(declared.program, "create"), time.monotonic() + 3
    while time.monotonic() < end:
        assert len(web.in_docker("running")) <= 2
        assert len(web.in_docker()) <= 4, "what is replaced, and what replaces it"
        time.sleep(0.1)  # nothing is waited for: what happens in the time is what is measured
    assert calls(declared.program, "create") - before <= 12
    declared.declare("never", shell(f"touch /tmp/ok; {SLEEP}") + "\nreplicas = 2", tables=CHECK.format("never"))
    web.until_converged(2)
    assert len(web.in_docker()) == 2
