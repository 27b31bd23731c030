"""What a real daemon changes of a container without a new one."""

from pathlib import Path

import docker as sdk
import pytest

from controller.errors import EngineError
from controller.scheduler.docker import DockerEngine
from proto.dockrunner import v1 as pb
from tests.engine.conftest import Requests

MEBIBYTE = 1024 * 1024


async def limits_of(engine: DockerEngine, container: str) -> pb.Resources:
    return engine.effective((await engine.inspect(container)).resources)


async def test_the_restart_policy_changes_in_place(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for(restart="always"))
    for policy in ("always", "unless-stopped", "on-failure:3", "on-failure", "no"):
        await engine.update(made, policy, pb.Resources())
        assert (await engine.inspect(made)).restart == policy


@pytest.mark.parametrize("running", [False, True])
async def test_limits_are_set_changed_and_taken_away_in_place(
    engine: DockerEngine, request_for: Requests, *, running: bool
) -> None:
    made = await engine.create(request_for())
    if running:
        await engine.start(made)
    for wanted in (
        pb.Resources(cpus=0.5, mem_limit=64 * MEBIBYTE, pids_limit=50),
        pb.Resources(cpus=1, mem_limit=32 * MEBIBYTE, pids_limit=5),
        pb.Resources(cpus=0.25, mem_limit=128 * MEBIBYTE),
        pb.Resources(),
        pb.Resources(pids_limit=9),
    ):
        await engine.update(made, "no", wanted)
        assert await limits_of(engine, made) == wanted


async def test_a_limit_that_is_taken_away_limits_nothing_any_more(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    limited = pb.Resources(mem_limit=32 * MEBIBYTE, pids_limit=9)
    made = await engine.create(request_for())
    await engine.start(made)
    await engine.update(made, "no", limited)
    group = ControlGroup(docker.inspect_container(made)["State"]["Pid"])
    assert (group.memory, group.pids) == (32 * MEBIBYTE, 9)
    await engine.update(made, "no", pb.Resources())
    assert group.memory > docker.info()["MemTotal"]
    assert group.pids == float("inf")


async def test_more_processors_than_there_are_is_no_limit(
    engine: DockerEngine, request_for: Requests, docker: sdk.APIClient
) -> None:
    made = await engine.create(request_for())
    await engine.update(made, "no", pb.Resources(cpus=docker.info()["NCPU"] + 1))
    assert await limits_of(engine, made) == pb.Resources()


async def test_a_limit_that_docker_refuses_says_why(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for())
    with pytest.raises(EngineError, match="6MB"):
        await engine.update(made, "no", pb.Resources(mem_limit=1))


async def test_the_last_lines_of_a_container_are_read(engine: DockerEngine, request_for: Requests) -> None:
    made = await engine.create(request_for(command=["sh", "-c", "echo one; echo two; echo; echo three; exit 3"]))
    await engine.start(made)
    while (await engine.inspect(made)).status.state != pb.ContainerStatus.EXITED:
        pass
    assert await engine.last_lines(made, 2) == ["two", "three"]


class ControlGroup:
    """The limits of a process as the kernel has them, in control groups of either version."""

    def __init__(self, pid: int) -> None:
        lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
        self._folders = {controller: path for _, names, path in lines for controller in names.split(",")}

    @property
    def memory(self) -> float:
        return self._limit("memory", "memory.max", "memory.limit_in_bytes")

    @property
    def pids(self) -> float:
        return self._limit("pids", "pids.max", "pids.max")

    def _limit(self, controller: str, second: str, first: str) -> float:
        root = Path("/sys/fs/cgroup")
        if controller in self._folders:
            file = root / controller / self._folders[controller].lstrip("/") / first
        else:
            file = root / self._folders[""].lstrip("/") / second
        text = file.read_text().strip()
        return float("inf") if text == "max" else float(text)
