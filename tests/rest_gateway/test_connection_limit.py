"""Which connection is closed for a new one."""

from service.rest_gateway.connection_limit import ConnectionLimit


def test_an_unauthenticated_connection_with_unread_input_is_closed_first() -> None:
    connections = ConnectionLimit(4)
    closed: list[str] = []

    def open_connection(name: str) -> None:
        slot = connections.acquire()
        assert slot is not None
        slot.close = lambda: closed.append(name)

    for name in ("authenticated", "probe", "flood", "other flood"):
        open_connection(name)
    authenticated, probe, flood, other = connections.open
    authenticated.set_idle()
    for slot in (probe, flood, other):
        slot.set_idle(unauthenticated=True)
    flood.has_unread_input = other.has_unread_input = lambda: True
    for expected in ("flood", "other flood", "probe"):
        open_connection("new")
        assert closed[-1] == expected
    # The other connections have just become idle.
    assert connections.acquire() is None


def test_a_connection_that_has_been_closed_gets_no_slot_again() -> None:
    connections = ConnectionLimit(1)
    slot = connections.acquire()
    assert slot is not None
    slot.release()
    slot.set_idle()
    slot.set_idle(unauthenticated=True)
    assert not connections.open
    assert not connections.idle
    assert not connections.idle_unauthenticated
