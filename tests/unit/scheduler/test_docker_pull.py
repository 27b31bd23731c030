"""What Docker says during a pull, and how it is told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from controller.scheduler.docker_pull import PullBroken, follow_pull

END = {"status": "Status: Downloaded newer image for web:1.27"}
Line = Mapping[str, Any]


def downloading(layer: str, current: int, total: int) -> Line:
    return {"status": "Downloading", "id": layer, "progressDetail": {"current": current, "total": total}}


def told_of(*steps: Sequence[Line]) -> list[str]:
    """What is told of lines that come in steps, each a second after the one before."""
    time = 0.0
    told: list[str] = []

    def lines() -> Iterator[Line]:
        nonlocal time
        for step in steps:
            yield from step
            time += 1.0

    follow_pull(lines(), told.append, lambda: time)
    return told


def test_a_pull_is_told_by_bytes_and_layers_and_at_its_end() -> None:
    begin: list[Line] = [
        {"status": "Pulling from library/web", "id": "1.27"},
        {"status": "Already exists", "progressDetail": {}, "id": "a"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "b"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "c"},
    ]
    assert told_of(
        begin,
        [downloading("b", 12_300_000, 40_000_000)],
        [downloading("c", 100_000, 5_600_000)],
        [{"status": "Download complete", "id": "b"}],
        [{"status": "Extracting", "id": "b", "progressDetail": {"current": 32768, "total": 40_000_000}}],
        [{"status": "Pull complete", "id": "b"}, {"status": "Pull complete", "id": "c"}, END],
    ) == [
        "1 of 1 layers",
        "12.3 of 40.0 MB, 1 of 3 layers",
        "12.4 of 45.6 MB, 1 of 3 layers",
        "40.1 of 45.6 MB, 1 of 3 layers",
        "40.1 of 45.6 MB, 1 of 3 layers",
        "40.1 of 45.6 MB, 2 of 3 layers",
        "45.6 of 45.6 MB, 3 of 3 layers",
    ]


def test_it_is_told_at_most_once_a_second() -> None:
    assert told_of([downloading("a", size, 1000) for size in range(1000)], [END]) == [
        "0.0 of 0.0 MB, 0 of 1 layers",
        "0.0 of 0.0 MB, 0 of 1 layers",
    ]


def test_layers_whose_size_docker_does_not_say_are_counted() -> None:
    assert told_of([{"status": "Waiting", "id": "a"}], [downloading("a", 500_000, -1), END]) == [
        "0 of 1 layers",
        "0.5 of 0.5 MB, 0 of 1 layers",
        "0.5 of 0.5 MB, 0 of 1 layers",
    ]


def test_a_download_that_begins_anew_is_told_as_it_is() -> None:
    retrying = {"status": "Retrying in 5 seconds", "id": "a", "progressDetail": {}}
    assert told_of(
        [downloading("a", 900_000, 1_000_000)], [retrying], [downloading("a", 100_000, 1_000_000)], [END]
    )[2] == "0.1 of 1.0 MB, 0 of 1 layers"  # fmt: skip


def test_an_image_that_is_here_already_is_told_to_be_up_to_date() -> None:
    assert told_of([{"status": "Status: Image is up to date for web:1.27"}]) == ["up to date"]


def test_the_digest_is_the_one_that_the_registry_gave() -> None:
    assert follow_pull([{"status": "Digest: sha256:00"}, END], lambda _: None) == "sha256:00"
    assert follow_pull([END], lambda _: None) == ""


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"status": "Pulling fs layer", "id": "a"}, {"error": "unexpected EOF"}, END], "unexpected EOF"),
        ([{"errorDetail": {"message": "unexpected EOF"}}], "unexpected EOF"),
        ([{"errorDetail": None, "error": ""}], "no reason"),
        ([{"status": "Pulling fs layer", "id": "a"}, {"status": "Digest: sha256:00"}], "broke off"),
        ([], "broke off"),
    ],
)
def test_a_pull_that_does_not_end_well_is_an_error(lines: list[Line], words: str) -> None:
    with pytest.raises(PullBroken, match=words):
        follow_pull(lines, lambda _: None)
