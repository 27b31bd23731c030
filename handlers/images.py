"""Which image a container is made from: one and the same for all containers of a revision.

The first container of a revision settles it, by the pull policy of its service; the revision remembers the image's id
and digest, and every further container gets that, whatever its tag says by then.
"""

from dataclasses import dataclass

from controller.errors import EngineError, PullError
from controller.scheduler.engine import Engine, Image
from controller.scheduler.registries import Registries
from controller.store import CONTAINER, NORMAL, REVISION, SERVICE, WARNING, Recorder, Store, reference
from proto.dockrunner import v1 as pb

from .in_flight import InFlight
from .trouble import Wait

State = pb.ContainerStatus

SOURCE = "container-controller"


@dataclass(frozen=True)
class Found:
    """``name``: what the container is made from, the image's own name as long as that means it; ``image``: what that
    is."""

    name: str
    image: Image


class Images:
    """Finds and fetches images; remembers what registries have refused."""

    def __init__(
        self, engine: Engine, store: Store, recorder: Recorder, in_flight: InFlight, registries: Registries
    ) -> None:
        self._engine = engine
        self._store = store
        self._recorder = recorder
        self._in_flight = in_flight
        self.registries = registries
        self._refusals: dict[str, PullError] = {}
        # The images that were not here before.
        self._fetched_ids: set[str] = set()

    async def find(self, container: pb.Container) -> Found | None:
        """What a container is to be made from; None while it is being fetched: then its handler is called again.

        Raises:
            Wait: its registry has refused it, and is not to be asked again yet.
            PullError: it could not be fetched.
            EngineError: it is not there, and must not be fetched.
        """
        wanted = container.spec.template.image
        revision = self._revision(container)
        if revision.image_id:
            if found := await self._settled(wanted, revision):
                return found
            wanted = pinned(wanted, revision.image_digest)
        elif container.spec.template.image_digest:
            wanted = pinned(wanted, container.spec.template.image_digest)
        pulled = False
        if container.status.state == State.PULLING or self._must_be_fetched(container, revision):
            if not self._fetched(container, wanted):
                return None
            pulled = True
        image = await self._engine.image(wanted)
        if image is None:
            if (policy := self._policy(container)) == "never":
                raise PullError(f"there is no image {wanted} here, and pull_policy is never", "ImageNotFound")
            if pulled:
                raise EngineError(f"{wanted} was pulled ({policy}), and is not there all the same")
            self._fetched(container, wanted)
            return None
        self._remember(container, image, revision.image_id)
        if self._revision(container).image_id not in ("", image.id):
            return await self.find(container)  # another one has settled it meanwhile
        return Found(wanted, image)

    async def _settled(self, name: str, revision: pb.ServiceRevision) -> Found | None:
        """The image of a revision, if it is here."""
        image = await self._engine.image(name)
        if image is not None and image.id == revision.image_id:
            return Found(name, image)
        image = await self._engine.image(revision.image_id)
        return Found(revision.image_id, image) if image is not None else None

    def _must_be_fetched(self, container: pb.Container, revision: pb.ServiceRevision) -> bool:
        """Whether a registry is asked though the image may be here."""
        return not revision.image_id and self._policy(container) in ("always", "digest")

    def _fetched(self, container: pb.Container, wanted: str) -> bool:
        """Whether the image has been fetched; begins or joins its pull."""
        name = container.metadata.name

        async def pull() -> None:
            before = await self._engine.image(wanted)
            self._recorder.record(SOURCE, reference(container), NORMAL, "Pulling", wanted)
            try:
                await self._engine.pull(wanted, lambda progress: self._show(name, f"pulling {wanted}: {progress}"))
            except PullError as error:
                self.registries.failed(wanted, error)
                self._refusals[wanted] = error
                self._recorder.record(SOURCE, reference(container), WARNING, error.reason, str(error))
                raise
            after = await self._engine.image(wanted)
            if after is not None and (before is None or before.id != after.id):
                self._fetched_ids.add(after.id)
            self.registries.succeeded(wanted)
            self._refusals.pop(wanted, None)
            self._recorder.record(SOURCE, reference(container), NORMAL, "Pulled", wanted)

        key = f"pull {wanted}"
        if not self._in_flight.knows(key, name) and (left := self.registries.wait(wanted)) > 0:
            last = self._refusals.get(wanted)
            why = str(last) if last else "its registry could not be asked for another image"
            reason = last.reason if last else "RegistryUnreachable"
            raise Wait(f"{why} (asked again in {left:.0f} s)", reason, left)
        if self._in_flight.ended(key, name, pull):
            return True
        self._show(name, f"pulling {wanted}", begin=True)
        return False

    def _show(self, name: str, message: str, *, begin: bool = False) -> None:
        """Shows in the status how far a pull is; its last words may come after its end."""

        def edit(edited: pb.Container) -> None:
            if begin and edited.status.state != State.PULLING:
                # The reason stays: what has failed before is trouble until it has come.
                edited.status.state, edited.status.message = State.PULLING, message
            elif not begin and edited.status.state == State.PULLING:
                edited.status.message = message

        container = self._store.find(CONTAINER, name)
        if container is not None and not container.status.docker_id:
            self._store.update_status(CONTAINER, name, edit)

    def _remember(self, container: pb.Container, image: Image, before: str) -> None:
        """Settles the image of the container's revision; the first one counts."""
        if not (known := self._revision(container)).metadata.name or known.image_id == image.id:
            return

        def edit(edited: pb.ServiceRevision) -> None:
            if not edited.image_id or edited.image_id == before:
                edited.image_id = image.id
                edited.image_digest = digest_of(container.spec.template.image, image)
                edited.image_pulled |= image.id in self._fetched_ids

        self._store.update_status(REVISION, known.metadata.name, edit)

    def _revision(self, container: pb.Container) -> pb.ServiceRevision:
        found = self._store.find(REVISION, f"{container.spec.service}.{container.spec.revision}")
        return found if found is not None else pb.ServiceRevision()

    def _policy(self, container: pb.Container) -> str:
        """The present policy of its service: it changes in place."""
        service = self._store.find(SERVICE, container.spec.service)
        return service.spec.pull_policy if service is not None else "missing"


def pinned(image: str, digest: str) -> str:
    """The reference of what an image's tag meant when it had that digest; the image itself without one."""
    if not digest:
        return image
    return f"{without_tag(image)}@{digest}"


def without_tag(image: str) -> str:
    """The name of the repository alone: ``host:5000/web:1`` is ``host:5000/web``."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def digest_of(image: str, found: Image) -> str:
    """The digest by which the repository of ``image`` knows what was found; empty when it came from none."""
    repository = without_tag(image)
    for digest in found.digests:
        name, _, value = digest.partition("@")
        if name in (repository, f"docker.io/{repository}", f"docker.io/library/{repository}"):
            return value
    return ""
