"""Leases: a process owns streams as long as it renews its row in time.

A row's name is made by chance and never used again. A lease that ran out is renewed late as long as
nobody removed its row; from then on the process that had it is dead for everybody, and owns nothing
any more: every write of a stream needs that row. In an outage of the server leases run out, of some
sooner than of others, so only who has renewed its own each time may remove that of another.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import LiteralString

import anyio
from anyio import to_thread

from ih_mcp import __version__
from ih_mcp.errors import ConfigurationError, JournalError
from ih_mcp.journal.owners import make_owner_name
from ih_mcp.notifier import Notifier

from .connections import (
    ANSWER_SECONDS,
    READ_SECONDS,
    Connections,
    CopyAwayError,
    EngineAwayError,
    away_error,
)

LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0
_MISSED_SHARE = 0.4
"""A lease of which so little was left when it was renewed: a renewal before that one failed."""
HOLD_SECONDS = 7.0
"""After so long without a renewal no media is sent: another process may soon end our streams."""
_LONG_DEAD_SECONDS = 60.0
"""After so long without a renewal an owner may be removed by a process that has just begun."""
_LOG = logging.getLogger("ih_mcp.journal")
_RENEW: LiteralString = """
UPDATE owners SET until = clock_timestamp() + make_interval(secs => %s), takes_streams = %s,
    since = CASE WHEN until < clock_timestamp() + make_interval(secs => %s)
        THEN clock_timestamp() ELSE since END
WHERE name = (SELECT name FROM owners WHERE name = %s FOR NO KEY UPDATE NOWAIT)
"""
"""Not behind another renewal: one that waits for the copy would gather a connection each time."""
_REMOVE: LiteralString = """
DELETE FROM owners WHERE name IN (SELECT name FROM owners o WHERE o.until < clock_timestamp() AND (
    o.until < clock_timestamp() - make_interval(secs => %(long)s)
        AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %(lease)s)
        AND (o.until - make_interval(secs => %(lease)s) > pg_last_xact_replay_timestamp())
            IS NOT FALSE
    OR EXISTS (SELECT FROM owners me WHERE me.name = %(me)s AND me.until > clock_timestamp()
        AND me.since < clock_timestamp() - make_interval(secs => %(lease)s)))
    FOR UPDATE SKIP LOCKED)
"""
"""Not one whose transaction is under way: it may be stopped, and would stop who waits for it.

Who has just begun cannot know whether the server was away for all. So it removes none soon after
the server's start; and on a copy that has taken over, which notes the time of the last transaction
that it got from the former server, none that has not renewed its lease there.
"""


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that owns streams."""

    name: str
    address: str
    """Where calls are passed on to it; empty where it takes none."""
    takes_streams: bool


class Lease:
    """The lease of this process."""

    def __init__(self, connections: Connections, address: str) -> None:
        self._connections = connections
        self.address = address
        """Where other replicas call this one; empty where they do not."""
        self.name = make_owner_name()
        self.takes_streams = True
        """Whether other replicas may pass new streams on to this one; see `stop_taking_streams`."""
        self._is_due = Notifier()
        self.replicas: dict[str, Replica] = {}
        """Those that lived when the lease was renewed last, by name."""
        self.changed = Notifier()
        """Notified when an owner is dead since the last renewal, this one included."""
        self.outage = ""
        """Why the lease cannot be renewed, and so nothing can be written; empty while it can."""
        self._renewed_at = -math.inf
        self._renewed = Notifier()
        self._renewing = Lock()

    async def acquire(self) -> None:
        """Acquire the lease; waits for that of a process of the same address to run out.

        Raises:
            ConfigurationError: That process lives.
            EngineAwayError: The server does not answer.
        """
        for _ in range(int(LEASE_SECONDS / RENEW_SECONDS) + 2):
            if not self.address or await to_thread.run_sync(self._is_alone):
                break
            await anyio.sleep(RENEW_SECONDS)
        else:
            raise ConfigurationError(
                f"another replica has the address {self.address} and lives",
                help="Give each replica an IH_MCP_ADDRESS of its own.",
            )
        if await to_thread.run_sync(self._connections.waits_for_copy):
            raise CopyAwayError  # each try to begin would leave another connection that waits
        await to_thread.run_sync(self._insert)
        await to_thread.run_sync(self.renew)

    def stop_taking_streams(self) -> None:
        """Let no other replica pass a new stream on to this one."""
        self.takes_streams = False
        self._is_due.notify()

    async def renew_forever(self) -> None:
        """Renew the lease, and remove those of dead processes."""
        while True:
            with anyio.move_on_after(RENEW_SECONDS):
                await self._is_due.wait()
            try:
                is_changed = await to_thread.run_sync(self.renew)
            except (EngineAwayError, JournalError) as exc:
                _LOG.warning("the lease was not renewed: %s", exc)
            else:
                self._renewed.notify()
                if is_changed:
                    self.changed.notify()

    def renew(self) -> bool:
        """Renew once; gives whether something may be cleaned up that could not be before.

        That is: an owner is dead since the last time, or nothing could be written.

        Raises:
            EngineAwayError: The server does not answer.
        """
        with self._renewing:  # a second one would find the row locked
            try:
                is_changed = self._renew()
            except EngineAwayError as exc:
                reason = self._connections.find_reason(exc)
                self.outage = str(reason)
                self._connections.copy_is_away = isinstance(reason, CopyAwayError)
                raise reason from exc
            had_outage, self.outage = bool(self.outage), ""
            self._connections.copy_is_away = False
            return is_changed or had_outage

    def refresh(self) -> None:
        """Renew now, so that `replicas` has those too that have just begun.

        Raises:
            JournalError: The server does not answer.
        """
        try:
            self.renew()
        except EngineAwayError as exc:
            raise away_error(exc) from exc

    def _renew(self) -> bool:
        asked_at = time.monotonic()  # the lease holds from a little later on, in the server
        with self._connections.borrow(ANSWER_SECONDS) as db:
            missed = LEASE_SECONDS * _MISSED_SHARE
            renewed = db.execute(_RENEW, (LEASE_SECONDS, self.takes_streams, missed, self.name))
            is_lost = not renewed.rowcount
        if is_lost:
            _LOG.error("the lease of this process ran out, so its streams were ended")
            self.name = make_owner_name()
            self._insert()
        self._renewed_at = asked_at
        with self._connections.borrow(ANSWER_SECONDS) as db:
            bounds = {"long": _LONG_DEAD_SECONDS, "lease": LEASE_SECONDS}
            db.execute(_REMOVE, bounds | {"me": self.name})
            found = db.execute("SELECT name, address, takes_streams FROM owners")
            before, self.replicas = self.replicas, {row[0]: Replica(*row) for row in found}
        return is_lost or not before.keys() <= self.replicas.keys()

    @property
    def seconds_left(self) -> float:
        """Until the lease runs out, unless it is renewed before; negative where it has."""
        return self._renewed_at + LEASE_SECONDS - time.monotonic()

    def lets_send(self, owner: str) -> bool:
        """Whether media of the streams of this owner may be sent: no other process ends them soon.

        Args:
            owner: The name that this process had when the stream began.
        """
        is_fresh = time.monotonic() < self._renewed_at + HOLD_SECONDS
        return is_fresh and owner == self.name

    async def wait_until_sendable(self, owner: str) -> None:
        """Wait until media of the streams of this owner may be sent."""
        while not self.lets_send(owner):
            await self._renewed.wait()

    def find_dead(self, names: Iterable[str]) -> set[str]:
        """Those of `names` that own nothing any more."""
        unknown = set(names) - self.replicas.keys()
        if not unknown:
            return set()
        return unknown - self._connections.keep_trying(
            lambda: self._find_living(unknown), READ_SECONDS
        )

    def _find_living(self, names: set[str]) -> set[str]:
        with self._connections.borrow() as db:
            found = db.execute("SELECT name FROM owners WHERE name = ANY(%s)", (list(names),))
            return {name for (name,) in found}

    def release(self) -> None:
        """Give the lease up; what this process still owns is dead then."""
        with self._connections.borrow(ANSWER_SECONDS) as db:
            db.execute("DELETE FROM owners WHERE name = %s", (self.name,))

    def _is_alone(self) -> bool:
        """Whether no other living process has this one's address."""
        with self._connections.borrow() as db:
            found = db.execute(
                "SELECT FROM owners WHERE address = %s AND until > clock_timestamp()",
                (self.address,),
            )
            return found.fetchone() is None

    def _insert(self) -> None:
        with self._connections.borrow(ANSWER_SECONDS) as db:
            db.execute(
                "INSERT INTO owners VALUES (%s, %s, %s, %s, clock_timestamp(), "
                "clock_timestamp() + make_interval(secs => %s))",
                (self.name, self.address, __version__, self.takes_streams, LEASE_SECONDS),
            )
