"""Secrets and configs, from the file to the inside of a container, on a real engine."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker as sdk
import grpc
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program, eventually, refused

CANARY = "canary-7f3a"
WEB = f"""
[services.web]
image = "{IMAGE}"
secrets = ["key"]

[services.app]
image = "{IMAGE}"
user = "1000:1000"
secrets = ["key", {{ source = "key", target = "/etc/app.key", mode = 0o440 }}]
configs = [{{ source = "app.conf", target = "/etc/app.conf" }}]

[secrets.key]
file = "key.txt"

[configs."app.conf"]
content = "level = 3"
"""

InDocker = Callable[..., dict[str, str]]


@pytest.fixture
def sealed(program: Program) -> Iterator[Program]:
    """The program with its socket, and so the files of containers, on a tmpfs."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a tmpfs")
    run = program.folder / "run"
    run.mkdir(mode=0o750)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0750", "dock-runner-test", str(run)]
    if subprocess.run(mounting, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield program
    finally:
        program.kill()
        subprocess.run(["umount", "--lazy", run], check=True)


@pytest.fixture
def inside(docker: sdk.APIClient) -> Callable[..., str]:
    """What a command says in a container, errors included."""

    def run(container: str, *command: str, user: str = "") -> str:
        made = docker.exec_create(container, list(command), user=user)
        output: bytes = docker.exec_start(made["Id"])
        return output.decode()

    return run


Inside = Callable[..., str]


def rotate(program: Program, content: str) -> None:
    beside = program.folder / "key.new"
    beside.write_text(content)
    beside.replace(program.folder / "key.txt")


def started(program: Program, text: str = WEB, *more: str) -> Program:
    rotate(program, CANARY)
    program.declare(text)
    program.start(*more)
    program.until_converged(web=1, app=1)
    return program


def has(program: Program, service: str, inside: Inside) -> str:
    """What the secret is in the containers that are ready."""
    return "".join(inside(it, "cat", "/run/secrets/key") for it in program.ids(service).values())


def safe_of(program: Program) -> set[str]:
    (folder,) = (program.folder / "state" / "secrets").iterdir()
    return {path.name for path in folder.iterdir()} - {"key"}


def folders(program: Program) -> list[Path]:
    return list((program.folder / "run").glob("*/files/*"))


def test_the_process_reads_it_from_memory_and_nobody_else_does(
    sealed: Program, inside: Inside, docker: sdk.APIClient
) -> None:
    started(sealed)
    web, app = sealed.ids("web")[1], sealed.ids("app")[1]
    assert inside(web, "cat", "/run/secrets/key") == CANARY
    assert inside(web, "stat", "-c", "%a %u %g", "/run/secrets/key") == "400 0 0\n"
    assert "Permission denied" in inside(web, "cat", "/run/secrets/key", user="1000")
    assert inside(app, "cat", "/run/secrets/key", "/etc/app.key", "/etc/app.conf") == CANARY * 2 + "level = 3"
    assert inside(app, "stat", "-c", "%a %u %g", "/run/secrets/key", "/etc/app.key", "/etc/app.conf") == (
        "400 1000 1000\n440 1000 1000\n444 0 0\n"
    )
    mounted = [line.split() for line in inside(web, "cat", "/proc/mounts").splitlines()]
    ((_, _, kind, options, *_),) = [words for words in mounted if words[1] == "/run/secrets/key"]
    assert (kind, options.split(",")[0]) == ("tmpfs", "ro")
    assert "Read-only file system" in inside(web, "sh", "-c", "echo x >/run/secrets/key", user="0")
    assert CANARY not in json.dumps([docker.inspect_container(it) for it in (web, app)])
    assert not [mount for it in sealed.containers() for mount in it.spec.template.volumes]


def test_nothing_that_the_program_says_or_keeps_has_the_content_but_the_safe(sealed: Program) -> None:
    started(sealed, WEB, "--log-level", "debug")
    bad = pb.Service(metadata=pb.Metadata(name="bad"), spec=pb.ServiceSpec(image=IMAGE, user="\n"))
    bad.spec.secrets.add(source="key", target="..", content=CANARY.encode())
    with refused(grpc.StatusCode.INVALID_ARGUMENT) as caught:
        sealed.api.Apply(pb.ApplyRequest(service=bad))
    said = [str(caught.value), str(caught.value.trailing_metadata()), sealed.http("/metrics")[1]]
    (sealed.folder / "more.toml").write_text(WEB.replace("[services.web]", "[services.web]\nreplicas = 2"))
    for line in (
        "get services -o json", "get services -o toml", "get containers -o json", "get events -o json",
        "describe service web", "apply -f more.toml --force --dry-run", "rollout history web",
        "backup copy", "scale web=2 --force",
    ):  # fmt: skip
        answer = sealed.run(*line.split())
        assert answer.returncode == 0, (line, answer)
        said += [answer.stdout, answer.stderr]
    sealed.until_converged(web=2)
    assert CANARY not in "".join(said)
    sealed.stop()
    kept = [path for path in sealed.folder.rglob("*") if path.is_file() and path.name != "key.txt"]
    having = {path for path in kept if CANARY.encode() in path.read_bytes()}
    assert {path.relative_to(sealed.folder).parts[:2] for path in having if "run" not in path.parts} == {
        ("state", "secrets")
    }
    assert sum("run" in path.relative_to(sealed.folder).parts for path in having) == 4  # web, web and twice in app


def test_a_changed_file_replaces_what_has_the_secret_and_nothing_else(sealed: Program, inside: Inside) -> None:
    started(sealed, WEB + f'\n[services.other]\nimage = "{IMAGE}"\n')
    sealed.until_converged(other=1)
    web, other = sealed.ids("web"), sealed.ids("other")
    rotate(sealed, "rotated")
    eventually(lambda: sealed.converged(web=1) and has(sealed, "web", inside) == "rotated")
    eventually(lambda: sealed.converged(app=1) and has(sealed, "app", inside) == "rotated")
    assert sealed.ids("web") != web
    assert sealed.ids("other") == other
    assert any("secret key changed" in event.message for event in sealed.events("Deleting"))
    eventually(lambda: len(folders(sealed)) == 2)

    sealed.api.Rollback(pb.RollbackRequest(name="web"))
    eventually(lambda: sealed.converged(web=1) and has(sealed, "web", inside) == CANARY)
    assert len(safe_of(sealed)) == 2


def test_files_that_were_lost_are_written_again_and_docker_can_start_the_container(
    sealed: Program, inside: Inside, docker: sdk.APIClient
) -> None:
    started(sealed)
    web = sealed.ids("web")[1]
    sealed.kill()
    for folder in folders(sealed):
        shutil.rmtree(folder)
    sealed.start()
    sealed.until_converged(web=1, app=1)
    eventually(lambda: len(sealed.events("FilesRestored")) == 2)
    assert sealed.ids("web")[1] == web
    os.kill(docker.inspect_container(web)["State"]["Pid"], signal.SIGKILL)  # Docker's own policy starts it again
    eventually(lambda: docker.inspect_container(web)["RestartCount"] == 1 and sealed.converged(web=1))
    assert inside(web, "cat", "/run/secrets/key") == CANARY


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "while it is down"])
def test_a_stopped_container_whose_files_are_gone_is_made_good(
    sealed: Program, inside: Inside, docker: sdk.APIClient, running: bool
) -> None:
    started(sealed)
    web = sealed.ids("web")[1]
    if not running:
        sealed.kill()
    for folder in folders(sealed):
        shutil.rmtree(folder)
    docker.stop(web, timeout=1)
    if not running:
        sealed.start()
    eventually(lambda: sealed.converged(web=1, app=1) and sealed.ids("web").get(1, web) != web)
    assert inside(sealed.ids("web")[1], "cat", "/run/secrets/key") == CANARY


def test_what_was_acknowledged_survives_that_the_program_is_killed(sealed: Program, inside: Inside) -> None:
    sealed.start()
    service = pb.Service(metadata=pb.Metadata(name="web"), spec=pb.ServiceSpec(image=IMAGE))
    service.spec.secrets.add(source="key", content=CANARY.encode())
    sealed.api.Apply(pb.ApplyRequest(service=service))
    sealed.kill()
    sealed.start()
    sealed.until_converged(web=1)
    assert inside(sealed.ids("web")[1], "cat", "/run/secrets/key") == CANARY


def test_with_its_last_service_a_secret_leaves_the_machine(sealed: Program, in_docker: InDocker) -> None:
    started(sealed)
    assert len(safe_of(sealed)) == 1
    sealed.declare(f'[services.other]\nimage = "{IMAGE}"\n')
    eventually(lambda: not in_docker("web") and not in_docker("app"))
    eventually(lambda: not safe_of(sealed) and not folders(sealed))


def test_without_a_state_folder_a_restart_replaces_nothing(sealed: Program, inside: Inside) -> None:
    started(sealed, WEB, "--state-dir", "none")
    before = sealed.ids("web") | sealed.ids("app")
    assert not re.search(r"canary", " ".join(path.name for path in (sealed.folder / "run").rglob("*")))
    sealed.stop()
    sealed.start("--state-dir", "none")
    sealed.until_converged(web=1, app=1)
    assert sealed.ids("web") | sealed.ids("app") == before
    assert inside(sealed.ids("web")[1], "cat", "/run/secrets/key") == CANARY


def test_where_a_disk_would_have_it_a_secret_is_refused_and_says_why(program: Program, instance: str) -> None:
    rotate(program, CANARY)
    program.declare(WEB)
    program.start()
    (waiting,) = eventually(lambda: [it for it in program.containers("web") if it.status.message])
    if "tmpfs" not in waiting.status.message:
        pytest.skip("the folder of the socket is in memory anyway on this machine")
    assert waiting.status.reason == "CreateFailed"
    program.kill()
    for folder in Path("/run/dock-runner").glob(f"{instance}-*"):
        assert not list(folder.rglob("secret-*"))
        shutil.rmtree(folder)
