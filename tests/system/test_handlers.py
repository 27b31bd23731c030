"""The user's own handlers beside the built-in ones, in the whole program."""

from .program import Program, eventually

FILE = """
[services.web]
image = "web:1"
"""

NOTIFY = """
import time
from pathlib import Path
from controller import on, PermanentError

def note(text):
    with Path("notes").open("a") as file:
        file.write(text + "\\n")

@on.create("Service")
async def created(name, **_):
    note(f"created {name}")

@on.update("Service", field="spec.image")
def announce(name, old, new, **_):
    if not Path("fixed").exists():
        raise PermanentError("not fixed")
    note(f"{name}: {old} -> {new}")

@on.resume("Service")
async def resumed(name, **_):
    note(f"resumed {name}")

@on.validate("Service", field="spec.image")
async def allowed(new, **_):
    if new.startswith("evil"):
        raise PermanentError("evil is not allowed here")

@on.delete("Service", retries=2, backoff=0.01)
async def leave(name, **_):
    if not Path("may-leave").exists():
        raise ValueError(f"{name} may not leave")

@on.probe()
async def queue(**_):
    return "3 waiting"
"""


def notes(program: Program) -> list[str]:
    path = program.folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def begin(program: Program) -> None:
    (program.folder / "notify.py").write_text(NOTIFY)
    program.declare(FILE)
    program.start("--handlers", "notify.py")
    program.until_converged(web=1)


def test_a_module_is_told_and_asked_beside_the_built_in_handlers(simulated: Program) -> None:
    begin(simulated)
    eventually(lambda: notes(simulated) == ["created web"])
    assert "[+]notify: queue ok: 3 waiting" in simulated.http("/readyz?verbose")[1]
    simulated.declare('[services.web]\nimage = "evil:1"\n')
    eventually(lambda: "evil is not allowed here" in simulated.log)
    assert simulated.service("web").spec.image == "web:1"


def test_what_failed_is_told_again_once_its_cause_is_mended_and_nothing_else_is_touched(simulated: Program) -> None:
    begin(simulated)
    simulated.declare('[services.web]\nimage = "web:2"\n')
    eventually(lambda: simulated.events("HandlerFailed"))
    simulated.until_converged(web=1)
    (simulated.folder / "fixed").touch()
    simulated.stop()
    simulated.start("--handlers", "notify.py")
    eventually(lambda: "web: web:1 -> web:2" in notes(simulated))
    assert notes(simulated).count("created web") == 1
    simulated.stop()
    simulated.start("--handlers", "notify.py")
    eventually(lambda: notes(simulated).count("resumed web") == 2)
    assert notes(simulated).count("web: web:1 -> web:2") == 1


def test_a_delete_handler_that_gives_up_is_shown_and_released_by_force(simulated: Program) -> None:
    begin(simulated)
    simulated.declare("")
    assert simulated.run("delete", "web", "--force").returncode == 0
    eventually(lambda: "DeletionBlocked" in simulated.run("describe", "web").stdout)
    shown = simulated.run("describe", "web").stdout
    assert "handler notify: leave: gave up after 2 tries: ValueError: web may not leave" in shown
    assert "dock-runner delete web --force" in shown
    done = simulated.run("delete", "web", "--force", "--wait")
    assert done.returncode == 0, done.stderr
    assert simulated.service_or_none("web") is None
    assert not simulated.containers()


def test_a_broken_module_is_shown_with_its_own_traceback_and_all_else_goes_on(simulated: Program) -> None:
    (simulated.folder / "broken.py").write_text("from controller import on\n\nraise KeyError('token')\n")
    simulated.declare(FILE)
    simulated.start("--handlers", "broken.py")
    simulated.until_converged(web=1)
    (event,) = simulated.events("HandlersBroken")
    assert event.message == "broken.py cannot be loaded: KeyError: 'token'"
    assert 'broken.py", line 3' in simulated.log
    assert "importlib" not in simulated.log


def test_a_module_that_is_not_there_is_one_clear_line(simulated: Program) -> None:
    simulated.start("--handlers", "missing.py", ready=False)
    assert simulated.wait() == 1
    assert simulated.log.splitlines()[-1] == "error: --handlers missing.py: there is no such file"
