"""Services that would wait for each other for ever are refused, with the circle."""

import pytest

from controller.errors import Violation
from controller.store import Listing
from handlers.validation import circular_waits
from proto.dockrunner import v1 as pb


def waiting(name: str, *others: str, shares: str = "") -> pb.Service:
    service = pb.Service(metadata=pb.Metadata(name=name))
    for other in others:
        service.spec.depends_on[other].SetInParent()
    service.spec.network_mode = f"service:{shares}" if shares else ""
    return service


def against(service: pb.Service, *others: pb.Service) -> list[Violation]:
    return list(circular_waits(service, Listing(lambda: list(others), len(others))))


def test_a_circle_is_named_from_end_to_end() -> None:
    (violation,) = against(waiting("web", "db"), waiting("db", "vault"), waiting("vault", "web"))
    assert violation.field == "spec.depends_on.db"
    assert "web → db → vault → web" in violation.description


def test_a_shared_network_is_waited_for_as_well() -> None:
    (violation,) = against(waiting("web", shares="vpn"), waiting("vpn", "web"))
    assert (violation.field, "web → vpn → web" in violation.description) == ("spec.network_mode", True)


@pytest.mark.parametrize(
    "others",
    [
        (),
        (waiting("db"),),
        (waiting("db", "vault"), waiting("vault")),
        (waiting("db", "vault"), waiting("cache", "vault"), waiting("vault")),
        (waiting("db", "vault"), waiting("vault", "db")),  # which is theirs to be told
    ],
    ids=["nothing is there", "one", "a chain", "two ways to one", "a circle of others"],
)
def test_what_comes_to_an_end_is_let_in(others: tuple[pb.Service, ...]) -> None:
    assert against(waiting("web", "db", "cache"), *others) == []


def test_a_service_that_waits_for_itself_is_told_of_elsewhere() -> None:
    assert against(waiting("web", "web")) == []
