"""What is remembered of jobs, in a plan."""

from handlers.operations import Delete
from handlers.planner import plan
from handlers.revision import revision_of, template_of
from proto.dockrunner import v1 as pb

from .world import NOW, State, container, in_short, service


def kept(of: pb.Service, number: int = 1, **ended: int) -> pb.ServiceRevision:
    """The revision of a service, and the exit status of slots such as ``s1``."""
    made = pb.ServiceRevision(revision=revision_of(of.spec), number=number, template=template_of(of.spec))
    made.ended.update({int(slot[1:]): code for slot, code in ended.items()})
    return made


def test_a_slot_whose_work_is_remembered_needs_no_container() -> None:
    job = service(replicas=2, restart="no")
    answer = plan(job, [], NOW, revisions=[kept(job, s1=0)])
    assert [in_short(step) for step in answer.operations] == ["create 2"]
    assert answer.done == {1: 0}


def test_what_a_container_tells_counts_more_than_what_is_remembered() -> None:
    job = service(restart="no")
    ended = container(job, state=State.EXITED, exit_code=4)
    assert plan(job, [ended], NOW, revisions=[kept(job, s1=0)]).done == {1: 4}


def test_a_job_that_is_scaled_down_keeps_the_slots_that_are_done() -> None:
    job = service(replicas=1, restart="no")
    pending = container(job, 1, State.PENDING)
    (step,) = plan(job, [pending], NOW, revisions=[kept(job, s2=0)]).operations
    assert isinstance(step, Delete)
    assert step.container == pending


def test_the_old_container_goes_from_a_slot_whose_new_work_is_done() -> None:
    old, new = service("job:1", restart="no"), service("job:2", restart="no")
    running = container(old)
    (step,) = plan(new, [running], NOW, revisions=[kept(old), kept(new, 2, s1=0)]).operations
    assert in_short(step) == f"delete {running.metadata.name}"


def test_a_revision_that_is_gone_back_to_is_to_do_its_work_once_more() -> None:
    first, second = service("job:1", restart="no"), service("job:2", restart="no")
    answer = plan(first, [], NOW, revisions=[kept(first, 1, s1=0), kept(second, 2, s1=0)])
    assert [in_short(step) for step in answer.operations] == ["create 1"]


def test_what_is_no_job_has_no_work_that_is_done() -> None:
    web = service(restart="always")
    answer = plan(web, [], NOW, revisions=[kept(web, s1=0)])
    assert ([in_short(step) for step in answer.operations], answer.done) == (["create 1"], {})
