"""Images come from registries, and registries have their moods: each is told, others go on, and all heals by itself."""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import docker as sdk
import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE, PrivateEngine, Unavailable
from tests.registry import PASSWORD, USER, forget, lying_registry, push, real_registry, reply

from .declared import Declared, Service, calls, shared_program
from .program import eventually

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PADDING = 4 << 20  # bytes, so that a layer is more than one answer's buffers


@pytest.fixture(scope="module")
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    """The tests' own engine, whose network can be entered."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    return shared_engine


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Docker's configuration as the program reads it; empty at first."""
    folder = tmp_path_factory.mktemp("logins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(folder))
        yield folder / "config.json"


@pytest.fixture(scope="module")
def declared(private: PrivateEngine, logins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Declared]:
    with shared_program(tmp_path_factory.mktemp("registries"), private.host) as declared:
        yield declared


@pytest.fixture
def registry(private: PrivateEngine, declared: Declared, docker: sdk.APIClient, tmp_path: Path) -> Iterator[str]:
    """A real one, that is open to all."""
    try:
        with real_registry(private, tmp_path / "registry") as address:
            yield address
            declared.forget()
            declared.until_gone()
            forget(docker, address)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def closed(private: PrivateEngine, declared: Declared, docker: sdk.APIClient, tmp_path: Path) -> Iterator[str]:
    """A real one, that wants credentials."""
    try:
        with real_registry(private, tmp_path / "closed", auth=True) as address:
            yield address
            declared.forget()
            declared.until_gone()
            forget(docker, address)
    except Unavailable as error:
        pytest.skip(str(error))


class Moody:
    """A registry with one image under whatever name, which answers as its ``mood`` says."""

    def __init__(self, docker: sdk.APIClient) -> None:
        self.mood = "good"
        self.asked = 0  # for manifests
        self.go_on = threading.Event()  # ends a silence, and lets the second half of a layer go out
        self.cuts = 0
        made = docker.create_container(IMAGE)["Id"]
        # A tar may be followed by anything; what follows makes it a layer that no daemon has.
        self._layer = b"".join(docker.export(made)) + os.urandom(PADDING)
        settings = docker.inspect_image(IMAGE)["Config"]  # type: ignore[no-untyped-call]  # not in the stubs
        docker.remove_container(made)
        self._config = json.dumps({
            "architecture": "amd64", "os": "linux",
            "config": {"Cmd": settings["Cmd"], "Env": settings["Env"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(self._layer)]},
        }).encode()  # fmt: skip
        self._manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(self._config), "digest": digest(self._config)},
            "layers": [{"mediaType": LAYER, "size": len(self._layer), "digest": digest(self._layer)}],
        }).encode()  # fmt: skip

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if "/manifests/" in request.path:
            self.asked += 1
            self._answer_manifest(request)
        elif request.path.endswith(digest(self._config)):
            reply(request, 200, self._config)
        elif request.path.endswith(digest(self._layer)):
            self._answer_layer(request)
        else:
            reply(request, 200)

    def _answer_manifest(self, request: BaseHTTPRequestHandler) -> None:
        if self.mood == "limiting":
            limit = {"code": "TOOMANYREQUESTS", "message": "retry-after: 3s, allowed: 100/minute"}
            reply(request, 429, json.dumps({"errors": [limit]}).encode(), Content_Type="application/json")
        elif self.mood == "silent":
            self.go_on.wait(60)
            request.close_connection = True
        else:
            reply(request, 200, self._manifest, Content_Type=MANIFEST, Docker_Content_Digest=digest(self._manifest))

    def _answer_layer(self, request: BaseHTTPRequestHandler) -> None:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        half = len(self._layer) // 2
        request.send_response(206 if start else 200)
        request.send_header("Content-Range", f"bytes {start}-{len(self._layer) - 1}/{len(self._layer)}")
        request.send_header("Content-Length", str(len(self._layer) - start))
        request.end_headers()
        if self.mood == "cutting" and start < half:
            self.cuts += 1
            request.wfile.write(self._layer[start:half])
            request.close_connection = True
            return
        if self.mood == "slow":
            request.wfile.write(self._layer[start:half])
            request.wfile.flush()
            start = half
            # A little more now and then: Docker tells of progress only when there is some.
            while not self.go_on.wait(0.2) and start < len(self._layer) - 100_000:
                request.wfile.write(self._layer[start : start + 10_000])
                request.wfile.flush()
                start += 10_000
        request.wfile.write(self._layer[start:])


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def moody(private: PrivateEngine, declared: Declared, docker: sdk.APIClient) -> Iterator[tuple[Moody, str]]:
    """A registry whose mood can be set, and its address."""
    moody = Moody(docker)
    with lying_registry(private, moody.answer) as address:
        yield moody, address
        moody.mood = "good"
        moody.go_on.set()
        declared.forget()
        declared.until_gone()
        forget(docker, address)


# Pulls.


def test_a_pull_is_told_from_its_beginning_to_its_end(declared: Declared, moody: tuple[Moody, str]) -> None:
    registry, address = moody
    registry.mood = "slow"
    image = f"{address}/team/slow:1"
    web = declared.declare("slow", f'image = "{image}"')
    eventually(lambda: " MB, 0 of 1 layers" in "".join(it.status.message for it in web.containers))
    (container,) = web.containers
    assert container.status.state == pb.ContainerStatus.PULLING
    assert container.status.message.startswith(f"pulling {image}: ")
    assert f"pulling {image}: " in web.condition("Ready").message
    assert web.condition("Degraded").status == "False", "it takes its time, and is no trouble"
    assert web.condition("Progressing").status == "True"
    assert [it.message for it in web.events("Pulling")] == [image]
    assert not web.events("Pulled")
    registry.go_on.set()
    web.until_converged()
    assert [(it.message, it.count) for it in web.events("Pulled")] == [(image, 1)]
    assert not [it.message for it in web.events() if it.type == "Warning"]


def test_a_pull_that_the_program_did_not_live_to_see_the_end_of_is_made_again(
    declared: Declared, moody: tuple[Moody, str]
) -> None:
    registry, address = moody
    registry.mood = "slow"
    web = declared.declare("killed", f'image = "{address}/team/killed:1"\nreplicas = 2')
    eventually(lambda: " MB, " in "".join(it.status.message for it in web.containers))
    declared.program.kill()
    registry.mood = "good"
    registry.go_on.set()
    declared.program.start("--config", str(declared.program.config))
    web.until_converged(2)
    assert len(web.in_docker()) == 2


def test_several_replicas_share_one_pull(declared: Declared, docker: sdk.APIClient, registry: str) -> None:
    push(docker, f"{registry}/web:1")
    before = calls(declared.program, "pull")
    web = declared.declare("shared", f'image = "{registry}/web:1"\nreplicas = 3')
    web.until_converged(3)
    assert calls(declared.program, "pull") - before == 1


# Registries that refuse.


def test_a_registry_that_wants_credentials_is_named_and_gets_them_when_they_are_there(
    declared: Declared, docker: sdk.APIClient, closed: str, logins: Path
) -> None:
    push(docker, f"{closed}/team/web:1", auth=True)
    before = calls(declared.program, "pull")
    web = declared.declare("closed", f'image = "{closed}/team/web:1"')
    web.until_degraded("ContainerFailing", f"`docker login {closed}`")
    assert web.events("ImageDenied")
    assert calls(declared.program, "pull") - before <= 2
    login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    logins.write_text(json.dumps({"auths": {closed: login}}))
    web.until_converged()
    assert PASSWORD not in declared.program.log


def test_a_registry_that_limits_is_left_alone_for_as_long_as_it_says(
    declared: Declared, moody: tuple[Moody, str]
) -> None:
    registry, address = moody
    registry.mood = "limiting"
    web = declared.declare("limited", f'image = "{address}/team/web:1"')
    web.until_degraded("ContainerFailing", "asked again in ")
    told, asked = time.monotonic(), registry.asked
    other = declared.declare("other", f'image = "{address}/team/other:1"')
    other.until_degraded("ContainerFailing", "asked again in ")
    eventually(lambda: "RateLimited" in {it.status.reason for it in web.containers})
    assert time.monotonic() - told < 2.5
    assert registry.asked == asked, "nor is it asked for another image"
    assert web.events("RateLimited")
    registry.mood = "good"
    web.until_converged()
    other.until_converged()


def test_a_registry_that_is_silent_holds_up_its_own_images_alone_and_no_change(
    declared: Declared, docker: sdk.APIClient, moody: tuple[Moody, str], registry: str
) -> None:
    silent, address = moody
    silent.mood = "silent"
    push(docker, f"{registry}/web:1")
    held = [declared.declare(f"held{n}", f'image = "{address}/team/web:{n}"') for n in range(6)]
    eventually(lambda: all(it.state_names() == ["PULLING"] for it in held))
    web = declared.declare("beside", f'image = "{registry}/web:1"')
    web.until_converged(seconds=10)
    changed = declared.declare("held0", f'image = "{IMAGE}"')
    changed.until_converged(seconds=10)
    assert len(changed.in_docker()) == 1


def test_a_registry_that_is_silent_does_not_hold_up_the_programs_end(
    declared: Declared, moody: tuple[Moody, str]
) -> None:
    silent, address = moody
    silent.mood = "silent"
    declared.declare("held", f'image = "{address}/team/web:1"')
    eventually(lambda: silent.asked)
    began = time.monotonic()
    assert declared.program.stop() == 0
    assert time.monotonic() - began < 10
    declared.program.start("--config", str(declared.program.config))


def test_a_download_that_breaks_off_goes_on(declared: Declared, moody: tuple[Moody, str]) -> None:
    registry, address = moody
    registry.mood = "cutting"
    web = declared.declare("cut", f'image = "{address}/team/web:1"')
    eventually(lambda: registry.cuts)
    registry.mood = "good"
    web.until_converged()


def test_an_image_that_is_not_there_yet_is_named_and_found_when_it_was_pushed(
    declared: Declared, docker: sdk.APIClient, registry: str
) -> None:
    push(docker, f"{registry}/web:1")
    before = calls(declared.program, "pull")
    web = declared.declare("early", f'image = "{registry}/web:2"')
    web.until_degraded("ContainerFailing", "web:2")
    eventually(lambda: "ImageNotFound" in {it.status.reason for it in web.containers})
    (event,) = web.events("ImageNotFound")
    assert event.type == "Warning"
    assert calls(declared.program, "pull") - before <= 2
    assert not web.in_docker()
    push(docker, f"{registry}/web:2")
    web.until_converged()


# One image for a revision.


def images(docker: sdk.APIClient, service: Service) -> set[str]:
    """The digests of what it runs."""
    found: set[str] = set()
    for container in service.inspected():
        image = docker.inspect_image(container["Image"])  # type: ignore[no-untyped-call]  # not in the stubs
        found.update(image["RepoDigests"])
    return {name.partition("@")[2] for name in found}


def test_all_replicas_of_a_revision_run_one_digest_whatever_its_tag_says_by_then(
    declared: Declared, docker: sdk.APIClient, registry: str
) -> None:
    image = f"{registry}/web:1"
    policies = {policy: f'image = "{image}"\npull_policy = "{policy}"\nreplicas = ' for policy in ("digest", "missing")}
    first = push(docker, image)
    services = [declared.declare(policy, f"{body}1") for policy, body in policies.items()]
    for web in services:
        web.until_converged(1)
    second = push(docker, image)
    for policy, body in policies.items():
        declared.declare(policy, f"{body}2")
    for web in services:
        web.until_converged(2)
        assert images(docker, web) == {first}
    lost = {web.ids[1] for web in services}
    for container in lost:
        docker.remove_container(container, force=True)
    eventually(lambda: all(web.ids.get(1) not in {None, *lost} for web in services))
    for web in services:
        web.until_converged(2)
        assert images(docker, web) == {first}
        declared.program.api.Restart(pb.RestartRequest(name=web.name))
    eventually(lambda: all(images(docker, web) == {second} for web in services))
    for web in services:
        web.until_converged(2)
        assert len(web.in_docker()) == 2
