"""Removes the images that were fetched for revisions which are not kept any more."""

import asyncio
import logging

from controller.errors import EngineError
from controller.scheduler.engine import Engine
from controller.store import CONTAINER, REVISION, Change, Store
from proto.dockrunner import v1 as pb

logger = logging.getLogger("dock_runner.images")


class ImagePruning:
    """Follows the revisions: with the last one that has an image goes the image, if it was fetched for one.

    What somebody else uses, or has given a further name, the engine keeps.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._removals: set[asyncio.Task[None]] = set()
        store.subscribe(REVISION, self._changed)

    def _changed(self, change: Change[pb.ServiceRevision]) -> None:
        gone = change.new
        if change.type != pb.DELETED or gone is None or not gone.image_pulled or self._used(gone.image_id):
            return
        removal = asyncio.create_task(self._remove(gone), name=f"remove image {gone.image_id}")
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    def _used(self, image_id: str) -> bool:
        kept = any(it.image_id == image_id for it in self._store.list(REVISION))
        return kept or any(it.status.image_id == image_id for it in self._store.list(CONTAINER))

    async def _remove(self, gone: pb.ServiceRevision) -> None:
        try:
            removed = await self._engine.remove_image(gone.image_id)
        except EngineError as error:  # it stays, which does no harm
            logger.warning("image %s of %s is not removed: %s", gone.image_id[:19], gone.service, error)
            return
        if removed:
            logger.info("removed image %s: no revision of service %s needs it", gone.image_id[:19], gone.service)
