"""The clients: threads that call, record every attempt, and repeat what got no answer."""

import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.grpc_client import failure
from tests.torture.recorder import Recorder, as_values, digest, now
from tests.torture.rpcs import UNKNOWN_OUTCOMES, Command, Stubs
from tests.torture.workload import Organization

_REPEAT_ANSWERED = 0.06
_REMEMBERED = 30
_TWINS = 0.04
# How long a call without an answer is repeated after the last fault has been healed.
_LAST_REPEATS_SECONDS = 60.0


@dataclass
class Progress:
    """What all clients have done so far, and when they have to end."""

    calls: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    numbers: Any = field(default_factory=lambda: count(1))
    over: threading.Event = field(default_factory=threading.Event)
    give_up_at: float = float("inf")
    broken: list[BaseException] = field(default_factory=list)

    def end(self) -> None:
        """Has the clients finish their present calls."""
        self.give_up_at = time.monotonic() + _LAST_REPEATS_SECONDS
        self.over.set()


class Client(threading.Thread):
    """A caller of one organisation.

    Args:
        organization: whose calls it makes.
        address: where the service is.
        recorder: takes down every attempt.
        progress: shared with all clients.
        seed: of its choices.
    """

    def __init__(
        self, organization: Organization, address: str, recorder: Recorder, progress: Progress, seed: int
    ) -> None:
        super().__init__(name=f"client-{organization.name}-{seed}", daemon=True)
        self._organization = organization
        self._recorder = recorder
        self._progress = progress
        self._chance = random.Random(seed)  # noqa: S311  # no secret
        self._stubs = Stubs(address, organization.api_key)
        self._answered: deque[Command] = deque(maxlen=_REMEMBERED)

    def run(self) -> None:
        """Makes one call after the other until the run is over."""
        try:
            while not self._progress.over.is_set():
                self.carry_out(self._organization.command(self._chance, next(self._progress.numbers)))
        except BaseException as error:  # noqa: BLE001  # the run must end with it
            self._progress.broken.append(error)
        finally:
            self._stubs.channel.close()

    def carry_out(self, command: Command) -> list[str]:
        """Calls, repeats the call until its outcome is known, and now and then after that too.

        Returns:
            The statuses of the last attempts that mattered.
        """
        twins = 2 if command.repeatable and self._chance.random() < _TWINS else 1
        statuses = self._attempts(command, twins)
        while command.repeatable and "OK" not in statuses and UNKNOWN_OUTCOMES & set(statuses):
            if "INTERNAL" in statuses or time.monotonic() > self._progress.give_up_at:
                break  # a defect is one already; the same call might meet it again and again
            time.sleep(self._chance.uniform(0.05, 0.4))
            command = Command(command.number, command.rpc, command.request, 5.0)
            statuses = self._attempts(command, 1)
        if command.repeatable and "OK" in statuses:
            self._answered.append(command)
        if self._answered and self._chance.random() < _REPEAT_ANSWERED:
            # One of some time ago: what it changed may have been changed again since.
            self._attempts(self._chance.choice(self._answered), 1)
        return statuses

    def _attempts(self, command: Command, number: int) -> list[str]:
        """Makes several attempts at the same time. Gives their statuses."""
        method = self._stubs.method(command.rpc)
        started = [
            (now(), method.future(command.request, command.timeout, metadata=self._stubs.metadata))
            for _ in range(number)
        ]
        return [self._finish(command, start, call) for start, call in started]

    def _finish(self, command: Command, start: int, call: Any) -> str:
        entry: dict[str, Any] = {"number": command.number, "rpc": command.rpc, "start": start}
        try:
            answer = call.result()
        except grpc.RpcError as error:
            end = now()
            failed = failure.from_error(error)
            status = failed.code
            entry |= {"reason": failed.reason, "text": failed.text, "details": failed.metadata}
            entry |= {"violations": failed.violations}
            if status == "UNAVAILABLE" and not failed.reason:
                time.sleep(self._chance.uniform(0, 0.1))  # nothing listens: without a pause this would be a busy loop
        else:
            end, status = now(), "OK"
            entry |= {"answer": as_values(answer), "digest": digest(answer.SerializeToString())}
            self._organization.learn(command, answer)
            self._progress.answered[self._organization.name] += 1
        self._recorder.write("call", **entry, end=end, status=status, request=as_values(command.request))
        self._progress.calls += 1
        return status


class Watcher(threading.Thread):
    """Follows an organisation's stream of operations across all faults, and records what it is told.

    Args:
        organization: whose stream.
        address: where the service is.
        recorder: takes down every operation.
    """

    def __init__(self, organization: Organization, address: str, recorder: Recorder) -> None:
        super().__init__(name=f"watcher-{organization.name}", daemon=True)
        self._stubs = Stubs(address, organization.api_key)
        self._recorder = recorder
        self._over = threading.Event()
        self._token = ""
        self._stream: Any = None
        self.told = 0

    def run(self) -> None:
        """Resumes the stream whenever it ends."""
        while not self._over.is_set():
            try:
                request = pb.WatchOperationsRequest(after=self._token)
                self._stream = self._stubs.method("WatchOperations")(request, metadata=self._stubs.metadata)
                for message in self._stream:
                    self._recorder.write("watched", operation=as_values(message.operation), end=now())
                    self._token = message.resume_token
                    self.told += 1
            except grpc.RpcError:
                self._over.wait(0.2)

    def end(self) -> None:
        """Ends the stream and the thread."""
        self._over.set()
        until = time.monotonic() + 30
        while self.is_alive() and time.monotonic() < until:
            if self._stream is not None:
                self._stream.cancel()
            self.join(0.2)
        self._stubs.channel.close()
