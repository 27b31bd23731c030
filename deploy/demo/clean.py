"""Removes from the Docker Engine what the demo left, known by its instance label and its image name.

Exit status 1 when the Engine doesn't answer or refuses, e.g. because a container of somebody else uses a demo image.
"""

import sys
from collections.abc import Iterator

import docker
from docker.errors import DockerException, NotFound

OURS = {"label": "dock-runner.instance=demo"}
IMAGES = ("dock-runner-demo:1", "dock-runner-demo:2")


def leftovers(client: docker.DockerClient) -> Iterator[tuple[str, str]]:
    """Yields (kind, id or name) in the order in which they can be removed: users before what they use."""
    for container in client.api.containers(all=True, filters=OURS):
        yield "container", container["Id"]
    for network in client.api.networks(filters=OURS):
        yield "network", network["Id"]
    for volume in client.api.volumes(filters=OURS)["Volumes"] or []:
        yield "volume", volume["Name"]
    for name in IMAGES:
        if client.api.images(name=name, filters={"label": "dock-runner.demo"}):
            yield "image", name


def remove(client: docker.DockerClient, kind: str, name: str) -> None:
    """Removes one; one that is gone meanwhile is fine."""
    try:
        match kind:
            case "container":
                client.api.remove_container(name, force=True, v=True)
            case "network":
                client.api.remove_network(name)
            case "volume":
                client.api.remove_volume(name)
            case "image":
                client.api.remove_image(name)
    except NotFound:
        return
    print(f"removed {kind} {name[:64]}")


def main() -> int:
    """Returns the exit status; goes on after an error, so that as much as possible is removed."""
    status = 0
    try:
        client = docker.from_env()
        for kind, name in leftovers(client):
            try:
                remove(client, kind, name)
            except DockerException as error:
                print(f"error: {kind} {name}: {error}", file=sys.stderr)
                status = 1
    except DockerException as error:
        print(f"error: the Docker Engine doesn't answer, so nothing was removed from it: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
