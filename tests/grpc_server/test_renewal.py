"""Certificates are read again when their files change; what cannot be used is logged once, and not taken."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.grpc_client import certificate, validity
from service.grpc_client.certificate import CertificateUnusable, Tls
from service.grpc_client.renewal import Contents, Renewed
from service.grpc_server import served
from tests.grpc_server.conftest import Log, eventually
from tests.grpc_server.pairs import openssl, pair, point, put

pytestmark = pytest.mark.process

_NOW = datetime.now(UTC)


def make(contents: Contents) -> Tls:
    """Reads a pair as `serve` does."""
    tls = Tls(*contents)
    certificate.trust(tls)
    return tls


def ends(tls: Tls) -> datetime:
    return validity.ends(tls.certificate)


@pytest.fixture
def watched() -> Iterator[Callable[..., Renewed[Tls]]]:
    """Watches pairs of files, and ends that afterwards."""
    started: list[Renewed[Tls]] = []

    def start(files: tuple[Path, Path], changed: Callable[[], None] = lambda: None) -> Renewed[Tls]:
        renewed = Renewed(files, make, seconds=0.05)
        renewed.refresh(served.check)
        renewed.watch(changed)
        started.append(renewed)
        return renewed

    yield start
    for renewed in started:
        renewed.close()


def test_a_pair_that_is_replaced_is_taken(tmp_path: Path, watched: Callable[..., Renewed[Tls]], logged: Log) -> None:
    files, other = pair(tmp_path / "pair"), pair(tmp_path / "other")
    changes: list[int] = []
    renewed = watched(files, lambda: changes.append(1))
    put(other, files)
    eventually(lambda: changes)
    time.sleep(1)  # more looks
    assert len(changes) == 1
    assert (renewed.value.certificate, renewed.value.key) == tuple(file.read_bytes() for file in other)
    assert [event["files"] for event in logged.events("certificate renewed")] == [f"{files[0]} and {files[1]}"]


def test_a_link_to_a_folder_that_is_switched_is_followed(tmp_path: Path, watched: Callable[..., Renewed[Tls]]) -> None:
    first, second = pair(tmp_path / "first"), pair(tmp_path / "second")
    link = tmp_path / "now"
    point(link, first[0].parent)
    renewed = watched((link / "tls.crt", link / "tls.key"))
    point(link, second[0].parent)
    eventually(lambda: renewed.value.certificate == second[0].read_bytes())


def test_half_a_pair_is_not_taken_until_the_other_half_is_there(
    tmp_path: Path, watched: Callable[..., Renewed[Tls]], logged: Log
) -> None:
    files, other = pair(tmp_path / "pair"), pair(tmp_path / "other")
    renewed = watched(files)
    before = renewed.value
    files[0].write_bytes(other[0].read_bytes())
    eventually(lambda: logged.events("certificate not renewed"))
    assert renewed.value is before
    renewed.ask()
    eventually(lambda: len(logged.events("certificate not renewed")) == 2)
    (first, second) = logged.events("certificate not renewed")
    assert first["reason"] == second["reason"]
    assert first["reason"] == f"{files[1]} does not belong to {files[0]}: the first certificate in it has another key"
    files[1].write_bytes(other[1].read_bytes())
    eventually(lambda: renewed.value.key == other[1].read_bytes())


@pytest.mark.parametrize("kind", ["nonsense", "gone", "no key for gRPC", "expired"])
def test_what_cannot_be_used_is_logged_once_and_the_old_one_kept(
    tmp_path: Path, watched: Callable[..., Renewed[Tls]], logged: Log, kind: str
) -> None:
    files = pair(tmp_path / "pair")
    contents = [file.read_bytes() for file in files]
    renewed = watched(files)
    before = renewed.value
    match kind:
        case "nonsense":
            files[0].write_bytes(b"nonsense")
        case "gone":
            files[1].unlink()
        case "no key for gRPC":
            put(pair(tmp_path / "other", "-algorithm", "ED25519"), files)
        case "expired":
            request = tmp_path / "request"
            openssl("req", "-new", "-key", files[1], "-subj", "/CN=localhost", "-out", request)
            openssl("x509", "-req", "-in", request, "-signkey", files[1], "-days", "-1", "-out", files[0])
    eventually(lambda: logged.events("certificate not renewed"))
    time.sleep(1)  # a dozen more looks
    assert len(logged.events("certificate not renewed")) == 1
    assert renewed.value is before
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    eventually(lambda: logged.events("certificate as before"))
    assert renewed.value is before


def test_it_is_told_when_somebody_asks_and_nothing_is_new(
    tmp_path: Path, watched: Callable[..., Renewed[Tls]], logged: Log
) -> None:
    watched(pair(tmp_path / "pair")).ask()
    eventually(lambda: len(logged.events("certificate as before")) == 1)


def test_what_cannot_be_used_from_the_beginning_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    files = pair(tmp_path / "pair")
    files[1].write_bytes(b"nonsense")
    with pytest.raises(CertificateUnusable, match=r"tls\.crt and .*tls\.key cannot be used: the key's file has no"):
        Renewed(files, make)


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Tells the time."""
        return self.now


def test_it_warns_each_day_from_two_weeks_before_the_end_and_complains_after_it(tmp_path: Path, logged: Log) -> None:
    files = pair(tmp_path / "pair", days=30)
    end = validity.ends(files[0].read_bytes())
    clock = Clock(end - timedelta(days=15))
    renewed = Renewed(files, make, ends=ends, now=clock)
    told = []
    for hours in range(0, 24 * 17, 6):
        clock.now = end - timedelta(days=15) + timedelta(hours=hours)
        renewed._warn_of_expiry()
        events = logged.events("certificate ends soon"), logged.events("certificate has ended")
        told.append((hours, len(events[0]), len(events[1])))
    counts = {hours: (warnings, errors) for hours, warnings, errors in told}
    assert counts[18] == (0, 0)
    assert counts[24] == (1, 0)
    assert counts[42] == (1, 0)
    assert counts[48] == (2, 0)
    assert counts[24 * 15 - 6] == (14, 0)
    assert counts[24 * 15] == (14, 1)
    assert counts[24 * 16] == (14, 2)
    first = logged.events("certificate ends soon")[0]
    assert (first["level"], first["days"], first["ends"]) == ("warning", 14, end.isoformat())
    assert logged.events("certificate has ended")[0]["level"] == "error"


@pytest.mark.parametrize("days", [1, 400, 20_000])
def test_the_end_is_the_one_in_the_certificate(tmp_path: Path, days: int) -> None:
    certificate_file, _ = pair(tmp_path / "pair", days=days)
    other, _ = pair(tmp_path / "other", days=5)
    chain = b"some text\n" + certificate_file.read_bytes() + other.read_bytes()
    found = validity.ends(chain)
    assert abs(found - _NOW - timedelta(days=days)) < timedelta(minutes=30)
