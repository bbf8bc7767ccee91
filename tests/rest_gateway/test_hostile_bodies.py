"""Bodies that would take long to parse: each has its status, and the gateway answers others meanwhile."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Self

import pytest

from service.rest_gateway import document
from service.rest_gateway.routes import ROUTES
from tests.rest_gateway.rest import KEY, PREFIX, Answer, Gateway, Rest

CUSTOMER = "/customer/createOrUpdateCustomer"
DEVICE = "/device"
BULK = "/device/bulk-metadata"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
LOOKUP = "/deviceAssignment/lookupOwners"
QUERY = "/customer/queryCustomer"
MEBIBYTES = 10 * 1024 * 1024
# The promise is half a second on two busy cores; this is for a machine that has other work.
PATIENCE_SECONDS = 5.0


def repeated(before: str, one: str, after: str, size: int) -> bytes:
    """Makes a body of about `size` bytes."""
    count = (size - len(before) - len(after)) // (len(one) + 1)
    return (before + ",".join([one] * count) + after).encode()


def named(before: str, one: str, after: str, size: int) -> bytes:
    """Makes a body whose members have different names; `one` is a format with a placeholder for the number."""
    count = (size - len(before) - len(after)) // (len(one) + 7)
    return (before + ",".join(one.format(number) for number in range(count)) + after).encode()


FIELDS = '"identifier": "A", "type": "t", "properties": '
HOSTILE: dict[str, tuple[str, bytes, int]] = {
    "zeros in properties": (DEVICE, repeated(f'{{{FIELDS}{{"a": [', "0", "]}}", MEBIBYTES), 413),
    "fewer zeros in properties": (DEVICE, repeated(f'{{{FIELDS}{{"a": [', "0", "]}}", 400_000), 413),
    "zeros that are just few enough": (DEVICE, repeated(f'{{{FIELDS}{{"a": [', "0", "]}}", 69_000), 400),
    "nulls in metadata": (CUSTOMER, repeated('{"metadata": {"a": [', "null", "]}}", 400_000), 413),
    "lists in lists": (CUSTOMER, repeated('{"metadata": {"a": [', "[[]]", "]}}", 100_000), 413),
    "unknown fields": (UNASSIGN, named("{", '"f{}":1', "}", MEBIBYTES), 413),
    "few unknown fields": (QUERY, named("{", '"f{}":1', "}", 15_000), 400),
    "one field again and again": (UNASSIGN, repeated("{", '"note":"x"', "}", MEBIBYTES), 413),
    "one name again and again": (QUERY, repeated('{"email": "a@example.com",', '"note":"x"', "}", 15_000), 400),
    "a list of numbers": (UNASSIGN, repeated('{"deviceIdentifiers": [', "1", "]}", MEBIBYTES), 413),
    "a shorter list of numbers": (UNASSIGN, repeated('{"deviceIdentifiers": [', "1", "]}", 200_000), 400),
    "a list with one number": (
        UNASSIGN,
        ('{"deviceIdentifiers": [' + '"' + "x" * 255 + '",' + '"x",' * 99_000 + "1]}").encode(),
        400,
    ),
    "a long list where a short one is meant": (LOOKUP, repeated('{"deviceIdentifiers": [', '""', "]}", 50_000), 413),
    "empty strings": (UNASSIGN, repeated('{"deviceIdentifiers": [', '""', "]}", MEBIBYTES), 413),
    "a map of empty objects": (BULK, named('{"devices": {', '"d{}":{{}}', "}}", MEBIBYTES), 413),
    "a map of many": (BULK, named('{"devices": {', '"d{}":{{}}', "}}", 600_000), 400),
    "deep lists": (CUSTOMER, b'{"metadata": {"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}", 400),
    "deep and unfinished lists": (UNASSIGN, b"[" * 100_000, 400),
    "closing brackets": (UNASSIGN, b"]" * (MEBIBYTES // 2), 400),
    "a number of ten million digits": (UNASSIGN, b'{"note": ' + b"9" * (MEBIBYTES - 20) + b"}", 400),
    "a fraction of ten million digits": (UNASSIGN, b'{"note": 0.' + b"9" * (MEBIBYTES - 20) + b"}", 400),
    "an exponent of ten million digits": (UNASSIGN, b'{"note": 1e' + b"9" * (MEBIBYTES - 20) + b"}", 400),
    "a string of escapes": (UNASSIGN, b'{"note": "' + b"\\u0041" * 1_700_000 + b'"}', 400),
    "a string of halves": (UNASSIGN, b'{"note": "' + b"\\ud800" * 1_700_000 + b'"}', 400),
    "a string of escaped quotes": (UNASSIGN, b'{"note": "' + b'\\"' * 3_000_000 + b'"}', 400),
    "strings that end in a backslash": (UNASSIGN, b'{"deviceIdentifiers": [' + b'"\\\\",' * 1_700_000 + b'"x"]}', 413),
    "a string of commas and brackets": (UNASSIGN, b'{"note": "' + b",[{" * 1_000_000 + b'"}', 400),
    "a long name": (UNASSIGN, b'{"' + b"n" * (MEBIBYTES - 20) + b'": 1}', 400),
    "blanks": (UNASSIGN, b" " * MEBIBYTES, 400),
    "quotes": (UNASSIGN, b'"' * MEBIBYTES, 400),
    "backslashes": (UNASSIGN, b'"' + b"\\" * (MEBIBYTES - 1), 400),
    "more than any body may have": (UNASSIGN, b" " * (MEBIBYTES + 1), 413),
}


class Live:
    """Requests `/healthz` again and again while a block runs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.slowest = 0.0
        self.count = 0

    def _ask(self) -> None:
        connection = self._gateway.connection()
        while not self._over.wait(0.005):
            started = time.monotonic()
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.count += 1
        connection.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_has_its_status_and_delays_no_others(rest: Rest, gateway: Gateway, name: str) -> None:
    path, body, status = HOSTILE[name]
    with Live(gateway) as live:
        answer = rest.post(path, body)
    assert (answer.status, bool(answer.error["error"])) == (status, True)
    assert len(answer.body) < 8_000
    assert live.slowest < PATIENCE_SECONDS


@pytest.mark.parametrize("key", [{}, {"x-api-key": "da_nonsense"}, {"x-api-key": KEY}], ids=["none", "ill", "wrong"])
def test_without_a_valid_key_every_hostile_body_is_401(gateway: Gateway, key: dict[str, str]) -> None:
    with Live(gateway) as live:
        for path, body, _ in HOSTILE.values():
            assert gateway.send("POST", PREFIX + path, body, key).status == 401
    assert live.slowest < PATIENCE_SECONDS


def test_many_large_bodies_at_once_delay_no_others(rest: Rest, gateway: Gateway) -> None:
    identifiers = [f"SN-{number}" for number in range(100_000)]
    bodies = [
        (UNASSIGN, json.dumps({"customerEmail": "a@example.com", "deviceIdentifiers": identifiers})),
        (DEVICE, repeated(f'{{{FIELDS}{{"a": [', "0", "]}}", 69_000).decode()),
        (BULK, json.dumps({"devices": {f"d{n}": {"a": [0] * 90} for n in range(1_000)}})),
    ]
    with Live(gateway) as live, ThreadPoolExecutor(12) as threads:
        answers: list[Answer] = list(threads.map(lambda each: rest.post(each[0], each[1].encode()), bodies * 4))
    assert {answer.status for answer in answers} == {200, 400, 404}
    assert live.slowest < PATIENCE_SECONDS


def _not_to_be_called(_text: str) -> NoReturn:
    raise AssertionError("parsed")


def test_too_many_values_are_found_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_decode", _not_to_be_called)
    limits = {route.path: route.limits for route in ROUTES}
    for path, body, status in HOSTILE.values():
        if status == 413 and len(body) <= limits[path].json_bytes:
            with pytest.raises(document.TooManyValues):
                document.parse([body], limits[path].json_values)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 1),
        ("[]", 2),
        ("[0]", 2),
        ("[[],{}]", 5),
        ('{"a":0,"b":[1,2]}', 5),
        ('["a,b","[{","\\"],[","\\\\",","]', 6),
        ('{"a,[":{"b":{}}}', 4),
    ],
)
def test_values_are_counted_outside_of_strings_and_empty_objects_twice(text: str, count: int) -> None:
    value: Any = json.loads(text)
    assert document.parse([text.encode()], count) == value
    if count > 1:
        with pytest.raises(document.TooManyValues):
            document.parse([text.encode()], count - 1)


def test_brackets_in_strings_do_not_count_as_levels() -> None:
    for deepest in (
        "[" * 64 + "]" * 64,
        '{"a":' * 64 + "0" + "}" * 64,
        "[" + "[]," * 500 + "0]",
        '"' + "[" * 500 + '"',
    ):
        document.parse([deepest.encode()], 2_000)
    for deeper in ("[" * 65 + "]" * 65, "[" + '{"a":' * 64 + "0" + "}" * 64 + "]"):
        with pytest.raises(document.NotJson, match="too deeply"):
            document.parse([deeper.encode()], 2_000)


def test_the_largest_valid_bodies_are_accepted(rest: Rest) -> None:
    """64 KiB of metadata with each character escaped, and as many values as fit."""
    text = "".join(f"\\u{ord('a') + number % 26:04x}" for number in range(65_000))
    assert rest.post(CUSTOMER, f'{{"email": "a@example.com", "metadata": {{"a": "{text}"}}}}'.encode()).status == 200
    for least in ('""', "[]"):
        values = ",".join([least] * 21_800)
        assert rest.post(DEVICE, f'{{{FIELDS}{{"a": [{values}]}}}}'.encode()).status == 200
    identifiers = json.dumps({"deviceIdentifiers": [f"{number:04d}" + "\U0001f600" * 251 for number in range(1_000)]})
    assert rest.post(LOOKUP, identifiers.encode()).status == 200
