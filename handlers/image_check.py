"""Looks whether the tag of a service's image has moved, and rolls out what it means now.

The digest becomes part of the declaration (``ServiceSpec.image_digest``) and so of the revision: what follows is an
update like any other, with its health checks and its way back. A digest that was rolled out and taken back is not
tried again.
"""

from datetime import timedelta
from typing import Any

from controller import PRESENT, Patch, on
from controller.errors import EngineUnavailable, PullError
from controller.scheduler import Informer
from controller.scheduler.engine import Engine
from controller.store import NORMAL, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .images import Images
from .revision import revision_of
from .revision_history import history

SOURCE = "image-check"
# How often it is looked whether a check is due, in seconds.
TURN = 5.0


# By the field and not by ``when``: only the services that have it get a timer.
@on.timer("Service", interval=TURN, field="spec.image_check", value=PRESENT)
async def check_image(
    body: pb.Service, patch: Patch, memo: Any, now: Any, store: Store, engine: Engine, informer: Informer,
    images: Images, recorder: Recorder,
) -> None:  # fmt: skip
    """Asks the registry when it is time to, and declares the digest that it has when that is a new one."""
    image, present = body.spec.image, present_digest(body, store)
    due = getattr(memo, "image_checked", None)
    if not wanted(body.spec) or not present or not informer.up:
        return
    if body.spec.paused or body.metadata.HasField("delete_time"):
        return
    if (due is not None and now < due + body.spec.image_check.ToTimedelta()) or images.registries.wait(image) > 0:
        return
    memo.image_checked = now
    try:
        digest = await engine.digest_of(image)
    except EngineUnavailable:
        informer.doubt()
        return
    except PullError as error:
        images.registries.failed(image, error)
        recorder.record(SOURCE, reference(body), WARNING, error.reason, f"{image} cannot be looked after: {error}")
        return
    images.registries.succeeded(image)
    if digest == present:
        return
    if taken_back(body, digest, store):
        text = f"{image} is {digest[:19]} now, which was rolled out before and taken back"
        recorder.record(SOURCE, reference(body), NORMAL, "ImageSkipped", text)
        return
    recorder.record(SOURCE, reference(body), NORMAL, "ImageMoved", f"{image}: {present[:19]} → {digest[:19]}")
    patch.spec.image_digest = digest


def wanted(spec: pb.ServiceSpec) -> bool:
    """Whether the tag of a service's image can move, and is looked after."""
    return spec.image_check.ToTimedelta() > timedelta(0) and "@" not in spec.image


def present_digest(service: pb.Service, store: Store) -> str:
    """What the tag meant for the present revision; empty while that is not known yet, or came from no registry."""
    if service.spec.image_digest:
        return service.spec.image_digest
    revision = revision_of(service.spec)
    return next((it.image_digest for it in history(service, store) if it.revision == revision), "")


def taken_back(service: pb.Service, digest: str, store: Store) -> bool:
    """Whether a revision with this digest has failed, or was taken back by hand."""
    return any(
        it.failure and it.template.image == service.spec.image and digest in (it.template.image_digest, it.image_digest)
        for it in history(service, store)
    )
