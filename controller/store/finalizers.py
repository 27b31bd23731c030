"""The finalizers that the program itself puts on objects."""

HANDLERS_FINALIZER = "dock-runner.handlers"
"""The built-in handlers have to see the object go."""

VOLUMES_FINALIZER = "dock-runner.volumes"
"""On a service whose deletion was asked for with its volumes: they go after its containers."""
