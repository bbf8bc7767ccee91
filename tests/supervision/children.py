"""A supervisor of children that do as their names say: `python -m tests.supervision.children serves crashes`."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from service.runtime import log
from service.runtime.signals import Signals
from service.supervision.heartbeat import Link
from service.supervision.process import Child
from service.supervision.supervisor import CannotServe, Supervisor

# Long enough for any machine, unless a test waits for their end.
STOP_SECONDS = float(os.environ.get("STOP_SECONDS", "120"))
HEARTBEAT_SECONDS = float(os.environ.get("HEARTBEAT_SECONDS", "120"))


def tell(**what: object) -> None:
    """Prints one line of JSON for the test, in one piece."""
    os.write(1, (json.dumps(what) + "\n").encode())


def _until_asked(serve: Callable[[], object]) -> None:
    """Waits for SIGTERM. The signal is heeded before `serve` says anything."""
    with Signals(signal.SIGTERM) as signals:
        serve()
        while next(iter(signals)) != signal.SIGTERM:
            pass


def serves(name: str, link: Link) -> None:
    """Says that it serves, and tells what it hears of the others."""

    def serve() -> None:
        link.start(lambda all_serve: tell(name=name, all_serve=all_serve))
        link.report(True)

    _until_asked(serve)
    tell(name=name, ended=True)


def hears(name: str, link: Link) -> None:
    """Serves, and tells of each SIGHUP."""
    signal.signal(signal.SIGHUP, lambda *_: tell(name=name, heard="SIGHUP"))
    serves(name, link)


def starts(name: str, link: Link) -> None:
    """Lives, and never comes to serve."""
    _until_asked(lambda: link.start(lambda _: None))
    tell(name=name, ended=True)


def slow(name: str, link: Link) -> None:
    """Takes a second to end."""
    serves(name, link)
    time.sleep(1)
    tell(name=name, slowly=True)


def crashes(_name: str, _link: Link) -> None:
    """Ends at once."""
    sys.exit(3)


def stubborn(_name: str, link: Link) -> None:
    """Does not end when it is asked to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link.start(lambda _: None)
    link.report(True)
    time.sleep(600)


def leaves(name: str, link: Link) -> None:
    """Leaves a process behind, whose end is then the business of the first process there is."""
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.5)
        os._exit(0)
    os.wait()
    serves(name, link)


def owes(name: str, link: Link) -> None:
    """Ends with lines of the log that are still to be written."""
    serves(name, link)
    for number in range(5):
        log.access("call", number=number)


KINDS: dict[str, Callable[[str, Link], None]] = {
    kind.__name__: kind for kind in (serves, hears, starts, slow, crashes, stubborn, leaves, owes)
}


def main(*names: str) -> None:
    """Runs a child a name; `client:` before a name makes it a client of the others."""
    log.configure()
    children = []
    for number, name in enumerate(names):
        kind = name.removeprefix("client:")
        children.append(Child(f"{kind}-{number}", partial(KINDS[kind], f"{kind}-{number}"), kind != name))
    supervisor = Supervisor(
        children,
        stop_seconds=STOP_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        all_serve=lambda: tell(all_serve=True),
    )
    try:
        in_order = supervisor.run()
    except CannotServe as error:
        tell(gave_up=str(error))
        sys.exit(2)
    sys.exit(0 if in_order else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
