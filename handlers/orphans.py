"""Containers of ours whose service is unknown: whether they go or stay.

The engine still has what an earlier run of the program made. When nobody declares its service any more, that may be
because it was taken out of the file meanwhile, or because whoever declared it has not come back yet. So an orphan is
removed only once its own manager has declared its complete set without it, or when the journal knows that its service
was deleted; until then it is left running.
"""

import logging
from collections.abc import Collection

from controller.store import CONTAINER, SERVICE, WARNING, Change, Recorder, Store, reference
from proto.dockrunner import v1 as pb

logger = logging.getLogger("dock_runner.orphans")


class Orphans:
    """Judges orphans; remembers which managers have declared their complete set in this run.

    ``deleted`` are the names of services whose deletion the journal knows of; those of this run are known besides.
    """

    def __init__(self, store: Store, recorder: Recorder, deleted: Collection[str] = ()) -> None:
        self._store = store
        self._recorder = recorder
        self._deleted = set(deleted)
        store.subscribe(SERVICE, self._follow)
        self._complete: set[str] = set()

    def _follow(self, change: Change[pb.Service]) -> None:
        # A create whose answer was lost may have made a container that shows only after its service is gone.
        if change.new is not None and change.type == pb.DELETED:
            self._deleted.add(change.new.metadata.name)
        elif change.new is not None and change.type == pb.ADDED:
            self._deleted.discard(change.new.metadata.name)

    def declared(self, manager: str) -> None:
        """The manager's complete set is in the store: its orphans go now."""
        self._complete.add(manager)
        for container in self._store.list(CONTAINER):
            self.judge(container)

    def judge(self, container: pb.Container) -> bool:
        """Whether the container is an orphan; one that may go is marked for deletion."""
        if self._store.find(SERVICE, container.spec.service) is not None:
            return False
        gone = container.status.state == pb.ContainerStatus.EXITED and not container.status.docker_id
        known = container.spec.service in self._deleted or container.metadata.manager in self._complete
        if gone or known:
            self._store.delete(CONTAINER, container.metadata.name)
        else:
            text = f"service {container.spec.service} is not declared by anyone; left running"
            self._recorder.record("orphans", reference(container), WARNING, "Orphan", text)
        return True
