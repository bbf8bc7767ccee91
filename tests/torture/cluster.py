"""A PostgreSQL primary and a synchronous standby of the run's own, the one of which can take the other's place."""

import shutil
import time

from tests.torture.node import READY_SECONDS, Folders, Node


class Cluster:
    """A primary and its synchronous standby.

    Args:
        environment: further variables of the servers, such as a clock's.
        followed: whether there is a standby from the beginning.

    Attributes:
        primary: the server that writes.
        standby: the one that follows it.
    """

    def __init__(self, environment: dict[str, str], *, followed: bool) -> None:
        self._folders = Folders()
        self._environment = environment
        self._made = 0
        self.primary = self._node()
        self._folders.run(
            "initdb", "-D", str(self.primary.data), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres"
        )
        self.primary.start()
        self.standby: Node | None = None
        if followed:
            self.follow()

    def _node(self) -> Node:
        self._made += 1
        return Node(self._folders, self._folders.make(f"node{self._made}"), self._environment)

    def follow(self) -> None:
        """Makes a standby of the primary, and has commits wait for it from then on."""
        standby = self._node()
        source = ("-h", "127.0.0.1", "-p", str(self.primary.port), "-U", "postgres")
        self._folders.run("pg_basebackup", "-D", str(standby.data), *source, "-R", "-c", "fast", "--no-sync")
        # The backup has the primary's settings; when it is promoted, nobody follows it yet.
        with (standby.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = ''\ndefault_transaction_read_only = off\n")
        standby.start()
        self.standby = standby
        self.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Waits until commits wait for the standby and it has everything that was committed before."""
        caught_up = (
            "SELECT count(*) FROM pg_stat_replication"
            " WHERE sync_state = 'sync' AND state = 'streaming' AND flush_lsn >= '{}'::pg_lsn"
        )
        until = time.monotonic() + READY_SECONDS
        with self.primary.connect() as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
            assert row is not None
            question = caught_up.format(row[0])
            while not connection.execute(question).fetchone()[0]:  # type: ignore[index]  # it counts
                if time.monotonic() > until:
                    raise RuntimeError("the standby does not follow")
                time.sleep(0.05)

    def promote(self, *, behind: bool) -> None:
        """Kills the primary and has the standby take its place.

        Args:
            behind: whether the standby is paused; it gets nothing more then.
        """
        assert self.standby is not None
        self.primary.kill()
        if behind:
            self.standby.lose_what_it_has_not_read()
        self.standby.run("SELECT pg_promote(true, 60)")
        old, self.primary, self.standby = self.primary, self.standby, None
        shutil.rmtree(old.data, ignore_errors=True)

    def close(self) -> None:
        """Ends both servers and removes their data."""
        for node in (self.standby, self.primary):
            if node is not None:
                node.stop()
        self._folders.remove()
