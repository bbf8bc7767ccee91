"""The real `device-assignment gateway` as a process, and a client of it over real HTTP."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

EXECUTABLE = Path(sys.executable).parent / "device-assignment"
PREFIX = "/api/ext-v1"
KEY = "da_00000000_" + "0" * 40
"""A text with the form of an API key that no server knows."""


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON with that content type."""
        assert self.headers["content-type"] == "application/json"
        assert self.body.endswith(b"}\n"), "a terminal would show its prompt behind the answer"
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The body of an error, which must have the shape of every error."""
        assert self.status >= 400
        error = self.json
        assert error["error"]
        assert error["callId"]
        for word in ("protobuf", "grpc", "python", "sql", "127.0.0.1", "traceback", "descriptor"):
            assert word not in self.body.decode().lower()
        return error

    @property
    def fields(self) -> list[str]:
        """The fields that an error of 400 names."""
        assert self.status == 400
        return [violation["field"] for violation in self.error["violations"]]


class Http:
    """An HTTP server on a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connection(self, context: Any = None) -> HTTPConnection:
        """Opens a connection."""
        if context is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=120)
        return HTTPSConnection("localhost", self.port, timeout=120, context=context)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        context: Any = None,
    ) -> Answer:
        """Makes one request, with nothing added to it."""
        connection = self.connection(context)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


class Gateway(Http):
    """A gateway in front of a gRPC server, on a free port or a given one."""

    def __init__(self, target: str, *arguments: str, port: int = 0, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DEVICE_ASSIGNMENT_")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # each start is a third faster with compiled modules
        self.process = subprocess.Popen(
            [EXECUTABLE, "gateway", "--grpc-target", target, "--rest-address", f"127.0.0.1:{port}", *arguments],
            env=inherited | {f"DEVICE_ASSIGNMENT_{name.upper()}": value for name, value in settings.items()},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.log: list[str] = []
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()
        if not self._serving.wait(120) or not self.log or not self.log[0].startswith("{"):
            pytest.fail(f"the gateway did not start: {self.log}")
        super().__init__(self.events[0]["port"])

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            self._serving.set()
        self._serving.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log: each line must be a JSON object."""
        return [json.loads(line) for line in self.log]

    def requests(self) -> list[dict[str, Any]]:
        """The log's lines of requests."""
        return [event for event in self.events if event["event"] == "request"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(120)
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return self.process.returncode

    def raw(self, sent: bytes) -> bytes:
        """Sends any bytes, and returns all that comes back until the gateway closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), 120) as connection:
            connection.sendall(sent)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return answer


class Rest:
    """A gateway and a key: `rest("/customer/queryCustomer", email=…)`."""

    def __init__(self, gateway: Http, api_key: str, context: ssl.SSLContext | None = None) -> None:
        self.gateway = gateway
        self._context = context
        self.api_key = api_key

    def __call__(self, path: str, /, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """Posts fields as JSON."""
        return self.post(path, json.dumps(fields).encode(), headers)

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Posts a body."""
        usual = {"x-api-key": self.api_key, "content-type": "application/json"}
        return self.gateway.send("POST", PREFIX + path, body, usual | (headers or {}), self._context)

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """Gets a path."""
        return self.gateway.send(method, PREFIX + path, None, {"x-api-key": self.api_key} | (headers or {}))


@dataclass(frozen=True)
class Event:
    """An event of a stream."""

    id: str
    kind: str
    data: Any


class EventStream:
    """A stream of server-sent events, read line by line."""

    def __init__(self, rest: Rest, query: str = "", **headers: str) -> None:
        self._connection = rest.gateway.connection()
        self.comments = 0
        self.last_id = ""
        usual = {"x-api-key": rest.api_key} | {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"{PREFIX}/deviceAssignment/watchOperations{query}", headers=usual)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.headers["content-type"] == "text/event-stream"

    def close(self) -> None:
        """Closes the connection."""
        self._answer.close()
        self._connection.close()

    def begin(self) -> str:
        """Reads the first id of the stream."""
        assert self.next() is None
        return self.last_id

    def next(self) -> Event | None:
        """Reads one event; None for an event without data. Raises `EOFError` at the end."""
        kind, data = "", ""
        while True:
            line = self._answer.readline().decode()
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(": ")
            match name:
                case "":
                    if line.startswith(":"):
                        self.comments += 1
                        self._answer.readline()
                        continue
                    return Event(self.last_id, kind, json.loads(data)) if data else None
                case "id":
                    self.last_id = value
                case "event":
                    kind = value
                case "data":
                    data += value
