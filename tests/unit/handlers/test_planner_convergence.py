"""From any mix of containers, plans that are carried out while chance does its worst come to the wanted end.

``PLANS=5000 pytest tests/unit/handlers/test_planner_convergence.py`` tries so many worlds; a failure prints its seed
and what happened in it.
"""

import os

import pytest

from proto.dockrunner import v1 as pb

from .planned_world import Broken, World

WORLDS = int(os.environ.get("PLANS", "1000"))
BATCHES = 10
CALM = 600  # turns within which all comes to rest


def live(seed: int) -> World:
    """One world, to its end."""
    world = World(seed)
    try:
        for _ in range(world.random.randint(1, 5)):
            world.declare()
            for _ in range(world.random.randint(0, 25)):
                world.step()
                world.let_time_pass(eager=False, hostile=True)
        come_to_rest(world)
    except Broken as broken:
        story = "\n".join(world.told[-60:])
        pytest.fail(f"seed {seed}: {broken}\n{story}", pytrace=False)
    return world


def come_to_rest(world: World) -> None:
    """Nothing bad happens any more: what was declared last is reached, or what it is taken back to."""
    for turn in range(CALM):
        answer = world.step()
        moved = world.let_time_pass(eager=True, hostile=False)
        if (
            not answer.operations
            and answer.look_again is None
            and answer.verdict is None
            and not moved
            and not world.stopped
        ):
            break
        if stopped_for_good(world):
            break
        if world.stopped and turn % 20 == 19:
            world.resume()
    else:
        raise Broken("it does not come to rest")
    check_the_end(world)


def stopped_for_good(world: World) -> bool:
    """A bad revision that nothing takes back goes on failing for ever."""
    bad = world.service.spec.image.startswith("bad")
    ended = (pb.Rollout.STATE_UNSPECIFIED, pb.Rollout.FAILED, pb.Rollout.ROLLED_BACK)
    return bad and world.service.status.rollout.state in ended


def check_the_end(world: World) -> None:
    spec, rollout = world.service.spec, world.service.status.rollout
    staying = [it for it in world.containers if not it.metadata.HasField("delete_time")]
    if spec.image.startswith("bad"):
        return  # what still served was watched over at each step
    if len(staying) != spec.replicas or {it.spec.template.image for it in staying} > {spec.image}:
        raise Broken(f"it came to rest as {[it.metadata.name for it in staying]}, {rollout.state} {rollout.message}")
    if world.step().operations:
        raise Broken("a converged state is planned further")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_world_comes_to_rest_within_surge_and_readiness(batch: int) -> None:
    for seed in range(batch, WORLDS, BATCHES):
        live(seed)
