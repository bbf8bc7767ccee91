"""A shared port: who gets it, who does not, and where connections go."""

import socket

import pytest

from service.supervision.port import PortUnavailable, SharedPort


def listener(port: int, *, sharing: bool) -> socket.socket:
    """Listens as a worker does, or as a server that is alone."""
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(sharing))
    try:
        end.bind(("127.0.0.1", port))
    except OSError:
        end.close()
        raise
    end.listen()
    return end


def test_a_free_port_is_chosen_once_and_kept_from_others_while_nobody_listens() -> None:
    port = SharedPort("127.0.0.1:0")
    assert port.address == f"127.0.0.1:{port.number}"
    with pytest.raises(PortUnavailable, match=f"cannot listen on {port.address}: Address already in use"):
        SharedPort(port.address)
    with pytest.raises(OSError, match="Address already in use"):
        listener(port.number, sharing=False)
    port.close()
    SharedPort(port.address).close()


def test_connections_go_to_those_who_listen_and_to_nobody_if_none_does() -> None:
    port = SharedPort("127.0.0.1:0")
    where = ("127.0.0.1", port.number)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)
    with listener(port.number, sharing=True) as end:
        for _ in range(20):
            with socket.create_connection(where), end.accept()[0]:
                """It came in here: were it elsewhere, this would wait for ever."""
    port.close()


def test_the_remains_of_connections_do_not_keep_a_port() -> None:
    with listener(0, sharing=False) as end:
        where = end.getsockname()
        with socket.create_connection(where) as caller:
            end.accept()[0].close()
            assert caller.recv(1) == b""
    SharedPort(f"127.0.0.1:{where[1]}").close()


def test_somebody_elses_port_is_not_shared() -> None:
    with listener(0, sharing=True) as end, pytest.raises(PortUnavailable, match="Address already in use"):
        SharedPort(f"127.0.0.1:{end.getsockname()[1]}")


@pytest.mark.parametrize("address", ["localhost:0", "0.0.0.0:0", "[::]:0", "[::1]:0"])
def test_every_address_of_a_name_has_the_same_port(address: str) -> None:
    try:
        port = SharedPort(address)
    except PortUnavailable as error:
        assert "::" in address  # a machine may have no IPv6
        pytest.skip(str(error))
    with pytest.raises(PortUnavailable):
        SharedPort(port.address)
    port.close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortUnavailable, match=r"cannot listen on 192\.0\.2\.1:50051: Cannot assign requested address"):
        SharedPort("192.0.2.1:50051")
