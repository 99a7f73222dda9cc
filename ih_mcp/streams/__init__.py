"""Streams: media to the service, over as many API sessions as it takes, messages into the journal.

This page is the theory; each term of it stands here once, and each module says how.

Terms
-----

A *stream* (`Stream`, id `st_…`) is what a caller holds. It lives in one process, from `start` to
its end, and accepts media from one *source*. `StreamFacts` is all that is known of it,
`StreamRunner` carries it from session to session, `StreamStatus` is what is reported of it.

A *leg* (`Leg`) is the part of a stream that one API session carries over one WebSocket. A stream
has one leg at a time. The next one begins where the service can decode: at a *random access point*,
with a container header before it (`Splice`).

A *source* gives a stream its media: a file at the right pace, a camera that is never slowed, or
callers who push (`sources/`). The *feeder* says whose media it is: `file`, `push` or `page`.

The *outbox* (`Outbox`) holds the segments that were accepted and not sent, and steering messages
between them, in order and bounded in bytes. The *ledger* (`SegmentLedger`) of each leg holds a
*receipt* for each segment that was sent.

The life of a stream
--------------------

    CONNECTING --greeting--> OPEN <--outbox empty / segments wait--> SENDING
    OPEN, SENDING --loss--> RECONNECTING or WAITING --greeting--> OPEN
    OPEN, SENDING --end asked for--> DRAINING --last word of the service--> ENDED
    any of them --no further session, or none that may follow--> FAILED (ENDED where nothing failed)

The state is computed (`StreamFacts.state`), never stored, so it cannot contradict what it is
computed from. `failure` is set before a stream is over; `is_over` is set once and never taken back.

The life of a segment
---------------------

    put or pushed --> waits in the outbox --> SENT --> DELIVERED --> PROCESSING --> COMPLETED
                          |                    |           |  (or REFUSED, or DROPPED)
                     not_sent, left_out      UNKNOWN    RESENT, in the next leg

1. A segment is accepted whole or not at all, and in order. A refused push changes nothing: a copy
   of the intake looks at it, and takes the place of the original only together with the segment.
2. A segment leaves the outbox after it was written to the socket, not before. Where the write
   breaks halfway, the segment counts as sent: some of it may have arrived.
3. A segment is sent once. Only with `resends`, segments of unknown fate are put back before all
   else; they count as `mark_resent` in the earlier leg.
4. A full outbox makes the sender wait; it drops nothing. Only live sources drop media (a camera its
   oldest segments, the capture page what it cannot send), and the status says how much. Without a
   connection at most two segments wait.

Ends
----

Each leg ends for one reason (`wire.endings`). It is *in order* only where the end was asked for and
the service said its last word: then every segment is settled. After any other end, segments
without a last word are `UNKNOWN`, and the status says from where to where results may be missing.

The end of a stream is asked for once; a second request changes nothing. Segments in the outbox are
sent before the close. A stop while there is no connection gives them up, and counts them.

Another session
---------------

After a loss, `net.retry` says whether and when the next session is opened. It begins only where
one is wanted (`reconnects`, not stopped, something left to send) and could begin: with the next
segment of a file, with any segment that decodes alone, or with a recording whose header is known.

*Rotation* ends a session in order before the service ends it for its age, and opens the next one.
It happens at a random access point, and counts against the same hourly budget as a reconnect. An
age that would make sessions shorter than a minute is not believed, as each session may cost.

Times
-----

Media time is that of the stream. A leg whose clock starts at 0 has an offset (`media_offset_s` of
its gap in the status); messages are never renumbered. Places in a file differ from media time by
the jumps in the clock of the file, which are left out.

What is durable when
--------------------

- A message is in the journal before any reader can see it. Where the journal fails, the session is
  given up, so no message arrives that cannot be kept.
- The status is written whenever the state changes, and at the end. A process that dies leaves the
  last one; the journal completes it with `host_stopped`.
- Media is in memory alone. What waited in the outbox of a process that dies is lost.
- An upload (`UploadAnalysis`, id `an_…`) keeps the id of its job before it is shown, so a later
  process goes on asking for the result.
"""
