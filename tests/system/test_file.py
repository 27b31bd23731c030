"""The file is edited, and what runs follows."""

from collections.abc import Callable

import docker as sdk

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE

from .program import Program, eventually

THREE = f"""
[services.web]
image = "{IMAGE}"
replicas = 3
environment = {{ LEVEL = "info" }}

[services.api]
image = "{IMAGE}"
replicas = 2

[services.worker]
image = "{IMAGE}"
"""

InDocker = Callable[..., dict[str, str]]


def test_three_services_run_within_seconds(program: Program, in_docker: InDocker) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    assert len(in_docker()) == 6
    assert sorted(program.ids("web")) == [1, 2, 3]


def test_editing_the_file_changes_exactly_what_must_change(
    program: Program, in_docker: InDocker, docker: sdk.APIClient, second_image: str
) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    web, api, worker = (program.ids(name) for name in ("web", "api", "worker"))

    program.declare(THREE.replace("replicas = 3", "replicas = 5"))
    program.until_converged(web=5)
    assert {slot: it for slot, it in program.ids("web").items() if slot in web} == web
    web = program.ids("web")

    edited = THREE.replace("replicas = 3", "replicas = 5").replace('"info"', '"debug"')
    program.declare(edited)
    eventually(lambda: program.converged(web=5) and not set(web.values()) & set(program.ids("web").values()))
    for docker_id in program.ids("web").values():
        assert "LEVEL=debug" in docker.inspect_container(docker_id)["Config"]["Env"]
    web = program.ids("web")

    head, tail = edited.split("[services.api]")
    edited = head + "[services.api]" + tail.replace(IMAGE, second_image, 1)
    program.declare(edited)
    eventually(lambda: program.converged(api=2) and not set(api.values()) & set(program.ids("api").values()))
    for docker_id in program.ids("api").values():
        assert docker.inspect_container(docker_id)["Config"]["Image"] == second_image

    assert program.ids("web") == web
    assert program.ids("worker") == worker
    assert len(in_docker()) == 8


def test_a_service_that_the_file_no_longer_names_goes_with_its_containers(
    program: Program, in_docker: InDocker
) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    web, api = program.ids("web"), program.ids("api")
    program.declare(THREE.split("[services.worker]")[0])
    eventually(lambda: not in_docker("worker"))
    assert (program.ids("web"), program.ids("api")) == (web, api)
    assert [it.metadata.name for it in program.api.List(pb.ListRequest()).services] == ["api", "web"]


def test_an_emptied_or_deleted_file_removes_nothing(program: Program, in_docker: InDocker) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    before = in_docker()
    program.declare("")
    eventually(lambda: program.metric("dock_runner_config_last_reload_successful") == 0)
    program.config.unlink()
    eventually(lambda: program.events("ConfigUnreadable"))
    assert in_docker() == before
    program.declare(THREE.replace("replicas = 3", "replicas = 1"))
    program.until_converged(web=1, api=2, worker=1)
    assert program.metric("dock_runner_config_last_reload_successful") == 1


def test_a_broken_file_changes_nothing_and_is_told_with_line_and_column(program: Program, in_docker: InDocker) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    before = in_docker()
    program.declare('[services.web]\nimage = "x"\n  replicaz = 3\nimage2 = [\n')
    eventually(lambda: "services.toml:" in program.log)
    program.declare(f'[services.web]\nimage = "{IMAGE}"\n  replicaz = 3\nports = [true]\n')
    eventually(lambda: "services.toml:3:3" in program.log and "services.toml:4:10" in program.log)
    assert "replicas" in program.log.split("services.toml:3:3")[1].splitlines()[0]
    assert any("services.toml:3:3" in event.message for event in program.events("ConfigInvalid"))
    assert program.metric("dock_runner_config_last_reload_successful") == 0
    assert in_docker() == before


def test_sighup_reads_the_file_again(program: Program) -> None:
    program.declare(THREE)
    program.start()
    program.until_converged(web=3, api=2, worker=1)
    applied = program.metric("dock_runner_config_last_reload_success_timestamp_seconds")
    program.hang_up()
    eventually(lambda: program.metric("dock_runner_config_last_reload_success_timestamp_seconds") > applied)
    program.until_converged(web=3, api=2, worker=1)


def test_a_folder_of_files_is_read_as_one(program: Program, in_docker: InDocker) -> None:
    folder = program.folder / "services.d"
    folder.mkdir()
    (folder / "a.toml").write_text(f'[services.a]\nimage = "{IMAGE}"\n')
    (folder / "b.toml").write_text(f'[services.b]\nimage = "{IMAGE}"\n')
    program.start("--config", str(folder))
    program.until_converged(a=1, b=1)
    (folder / "b.toml").unlink()
    eventually(lambda: not in_docker("b"))
    program.until_converged(a=1)
