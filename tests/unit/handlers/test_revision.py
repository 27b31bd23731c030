"""The revision of a service is for ever: what an earlier version of the program called a spec, every later one does.

``revisions.json`` has specs and their revisions, as they are and as admitted: those under ``first`` as the version
computed them that had no other fields, those under ``later`` as the one did that added theirs. An entry that has to be
changed means that an upgrade recreates the containers of every user who has such a spec.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from handlers.admission import fill_in
from handlers.in_place import in_place
from handlers.revision import FIELDS, describe_difference, revision_of, template_of, with_template
from proto.dockrunner import v1 as pb

from .scripted_world import seconds

STORED = json.loads(Path(__file__).with_name("revisions.json").read_text(encoding="utf-8"))
SAMPLES = [*STORED["first"], *STORED["later"]]

samples = pytest.mark.parametrize("sample", SAMPLES, ids=[it["name"] for it in SAMPLES])


def spec_of(sample: dict[str, Any]) -> pb.ServiceSpec:
    return json_format.ParseDict(sample["spec"], pb.ServiceSpec())


@samples
def test_a_spec_has_the_revision_that_it_always_had(sample: dict[str, Any]) -> None:
    assert revision_of(spec_of(sample)) == sample["revision"]


@samples
def test_defaults_that_are_filled_in_make_no_other_revision_than_they_always_did(sample: dict[str, Any]) -> None:
    spec = spec_of(sample)
    fill_in(spec)
    assert revision_of(spec) == sample["admitted"]


def test_specs_that_differ_in_what_needs_a_new_container_have_other_revisions() -> None:
    revisions = [it["revision"] for it in SAMPLES]
    doubles = {it["name"] for it in SAMPLES if revisions.count(it["revision"]) > 1}
    assert doubles == {"image alone", "what changes in place"}


def test_each_field_is_stored_with_a_sample() -> None:
    stored = {field for it in SAMPLES for field in it["spec"]}
    assert set(FIELDS) <= stored


IN_PLACE = [
    pb.ServiceSpec(replicas=7),
    pb.ServiceSpec(restart="no"),
    pb.ServiceSpec(pull_policy="always"),
    pb.ServiceSpec(cpus=1.5),
    pb.ServiceSpec(mem_limit=1 << 30),
    pb.ServiceSpec(pids_limit=100),
    pb.ServiceSpec(update=pb.UpdateConfig(parallelism=0, monitor=seconds(5))),
    pb.ServiceSpec(rollback=pb.UpdateConfig(parallelism=2)),
    pb.ServiceSpec(restart_backoff=pb.RestartBackoff(min=seconds(1))),
    pb.ServiceSpec(autoscale=pb.Autoscale(min=1, max=3, cpu=50)),
    pb.ServiceSpec(image_check=seconds(60)),
    pb.ServiceSpec(paused=True),
    pb.ServiceSpec(depends_on={"db": pb.Dependency(condition="service_healthy")}),
]


@pytest.mark.parametrize("change", IN_PLACE, ids=[it.ListFields()[0][0].name for it in IN_PLACE])
def test_what_changes_in_place_makes_no_other_revision(change: pb.ServiceSpec) -> None:
    before, after = pb.ServiceSpec(image="web:1"), pb.ServiceSpec(image="web:1")
    after.MergeFrom(change)
    assert revision_of(after) == revision_of(before)


def test_a_container_that_is_found_after_an_upgrade_is_not_replaced() -> None:
    """The template of a container is what its service has in it, so that it hashes alike."""
    for sample in SAMPLES:
        assert revision_of(template_of(spec_of(sample))) == sample["revision"], sample["name"]


def test_the_way_back_takes_what_makes_a_revision_and_leaves_what_changes_in_place() -> None:
    declared = pb.ServiceSpec(image="web:2", user="app", replicas=7, cpus=2, environment={"A": "1"})
    back = with_template(declared, pb.ServiceSpec(image="web:1", replicas=1, cpus=1, environment={"B": "2"}))
    assert back == pb.ServiceSpec(image="web:1", replicas=7, cpus=2, environment={"B": "2"})
    assert in_place(back) == in_place(declared)


def test_what_differs_is_named_and_no_more_than_four_of_it() -> None:
    old = pb.ServiceSpec(image="web:1", hostname="a")
    new = pb.ServiceSpec(
        image="web:2", user="app", command=["x"], hostname="b", dns=["9.9.9.9"], platform="linux/arm64"
    )
    text = describe_difference(old, new)
    assert text.endswith(" and 2 more")
    assert text.count(", ") == 3
    assert describe_difference(pb.ServiceSpec(image="web:1"), pb.ServiceSpec(image="web:2", user="app")) in (
        "image web:1 → web:2, user (none) → app", "user (none) → app, image web:1 → web:2"
    )  # fmt: skip
