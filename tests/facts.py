"""What we hold true about the API, each with its source; every fact has a test, and names it.

A test shows a fact by `@shows("name")`. `test_facts.py` compares both. Where the service does
otherwise one day, the difference is written here, not worked around in silence.

Sources: **docs** (the vendor's documentation), **sdk** (the vendor's Python SDK 1.3.4), **skill**
(the vendor's published agent skills), **seen** (observed), **chosen** (our decision).
"""

from __future__ import annotations

from typing import NamedTuple

import pytest


class Fact(NamedTuple):
    statement: str
    source: str


FACTS = {
    "ready-comes-once": Fact(
        "`session.ready` is the first message of v1 and v2, and comes once.",
        "docs: stream-analyze v1",
    ),
    "media-waits-for-ready": Fact(
        "A client that has not seen `session.ready` must not send media.", "docs: stream-analyze v1"
    ),
    "limits-are-declared": Fact(
        "`session.ready` declares size and time limits; they win over documented ones.",
        "docs: stream-analyze v1; docs: launch blog",
    ),
    "no-least-duration": Fact(
        "v1 declares no least duration of a message, so there is none: pieces of 1 s are taken and "
        "joined. A session, or on v0 a segment, still needs 3 s in all.",
        "seen, June 2026; sdk, skill v2; docs: stream-analyze v1 named 3 s: the newer win",
    ),
    "config-is-bare": Fact(
        "A session config is a JSON text frame without `type`.",
        "docs, sdk, skill; the launch blog shows `session.configure`: the newer wins",
    ),
    "config-replaces": Fact(
        "Each config replaces `include` whole and is answered by `session.updated`.",
        "docs: stream-analyze v1; sdk",
    ),
    "what-is-not-set-is-null": Fact(
        "Options that are not offered, and settings that are not set, are null in `session.ready` "
        "and `session.updated`, neither left out nor empty; feedback is off, so goals are null.",
        "seen on v1, June 2026; skill v2: `model` is null on v1; chosen: v2 does the same",
    ),
    "order-of-keys": Fact(
        "An envelope is `timestamp`, `correlation_id`, `type`, `data`, in this order.",
        "seen on v1 and realtime, June 2026",
    ),
    "each-config-is-answered": Fact(
        "Each config gets its own `session.updated`, an identical one too; `audio_format` is not "
        "in it.",
        "seen on v1, June 2026; sdk: `SessionUpdatedData`",
    ),
    "config-errors": Fact(
        "Broken JSON is `ih4006`, a frame of another shape `ih6001`; the session stays open.",
        "skill v2; docs: error catalog",
    ),
    "v0-config-in-query": Fact("v0 is configured by `include[]` in the query.", "docs: v0 stream"),
    "v0-speaks-second": Fact(
        "v0 has no greeting: the first segment may go at once; segments count from 1.",
        "docs: v0 quickstart",
    ),
    "v0-settles-segments": Fact(
        "v0 says `processing`, `result` and `completed`, or `error`, for each segment.",
        "docs: v0 stream; AsyncAPI of May 2026",
    ),
    "v2-names-its-model": Fact(
        "v2 takes `?model=inter-2` (default) or `inter-2-audio`.", "skill v2; sdk"
    ),
    "close-drains": Fact(
        "`session.close` is answered by `session.closing`, the remaining events, "
        "`session.ended`, and close 1000.",
        "skill v2; sdk",
    ),
    "media-after-close": Fact("Media after `session.close` is refused.", "skill v2"),
    "errors-end-nothing": Fact(
        "An `error` message ends nothing by itself; only a close does.", "docs; sdk"
    ),
    "unknown-types": Fact(
        "Clients ignore unknown types and fields: deployments may add some.", "skill v2; sdk"
    ),
    "bearer-in-header": Fact(
        "Server-side clients authenticate by `Authorization: Bearer`; `X-Client-Request-Id` is "
        "stored for support.",
        "docs: stream-analyze v1; sdk",
    ),
    "bearer-by-subprotocol": Fact(
        "Browsers authenticate by the subprotocol pair `access_token, <credential>`.", "skill v2"
    ),
    "refusals-a-browser-cannot-see": Fact(
        "A bad model (1008) or a missing backend (1013) is told to who authenticates by header; by "
        "subprotocol only a failed connection or 1006 is seen.",
        "skill v2",
    ),
    "tokens-expire": Fact(
        "`POST /v1/auth` (v0: `/v0/auth`) gives a token of 900 s; the SDK renews it 30 s before.",
        "docs: authentication; sdk",
    ),
    "client-tokens": Fact(
        "`POST /v1/client_tokens` takes the key in its body and gives a capped token.", "sdk"
    ),
    "continued-segments": Fact(
        "A v1 or v2 session carries one container stream: its first segment holds the header, "
        "later ones continue it.",
        "skill v2; sdk; docs v1 say self-contained: the newer wins",
    ),
    "limits-have-their-errors": Fact(
        "Size is `ih6002`, a short clip `ih5006`, idleness `ih6003`, age `ih6004`; on v2 a missing "
        "picture is `ih5001`, missing sound `ih5008`; a token's caps are `ih6004`, `ih3006`.",
        "skill v2; docs: error catalog; sdk",
    ),
    "far-above-the-limit": Fact(
        "A message far above the size limit is not answered: the connection is reset.",
        "seen: about 45 MB",
    ),
    "short-v0-segments": Fact(
        "A v0 segment of less than 3 s is `ih5006`; lenient, 2.9 s are enough.",
        "docs: late v0; chosen: the slack, for a browser's first timeslice of 3 s has 2.96 s",
    ),
    "undecodable-at-once": Fact(
        "A message that cannot be decoded is answered with `ih5004` without another one, and the "
        "session goes on.",
        "seen, June 2026; chosen: MP4 whose index comes last counts as such",
    ),
    "quota-at-opening": Fact(
        "A used-up quota is told right after a stream was opened: `ih3003`, then close 4029.",
        "seen, August 2026; chosen: before `session.ready`",
    ),
    "codecs": Fact(
        "MPEG-4 Part 2 is refused on streams with `ih5004`; H.264, VP8 and VP9 are taken.",
        "seen; skill v2",
    ),
    "realtime": Fact(
        "`/v0/realtime/analyze` has analyses to choose from, transcripts and recommendations; its "
        "signals have no rationale, and there is neither engagement nor quality.",
        "sdk; the documentation no longer names it",
    ),
    "realtime-options": Fact(
        "`session.ready` of realtime offers the literal text `string` for instructions, three "
        "frequencies, and no goals.",
        "seen, June 2026, under older names; sdk: the names",
    ),
    "realtime-alias": Fact(
        "`/v0/real-time/analyze` is the same endpoint.",
        "sdk 0.6.0 to 0.11.1; gone from the text since; chosen: lenient only",
    ),
    "empty-upload": Fact(
        "An upload whose file is empty is refused with a 4xx.",
        "chosen: `ih4001`, 400; no source says which",
    ),
    "scopes-once": Fact(
        "A token's `scope` names each endpoint once, also where several names of it were asked.",
        "sdk: older names are issued as the endpoint's",
    ),
    "upload-v0-is-signals": Fact(
        "`POST /v0/upload/analyze` answers with the signals and nothing else.", "docs: v0 upload"
    ),
    "upload-v1-waits": Fact(
        "`POST /v1/upload/analyze` answers with the result itself, after up to 300 s.", "sdk"
    ),
    "upload-v2-is-a-job": Fact(
        "`POST /v2/upload/analyze` answers with a job, read at `/v2/upload/jobs/{id}`.",
        "skill v2 upload; sdk",
    ),
    "busy-jobs": Fact(
        "503 with `ih1002` or `ih1003` while a job is read means: ask again.", "skill v2 upload"
    ),
    "gone-jobs": Fact(
        "A job that is unknown or expired is 404 `ih4021`: submit again.", "skill v2 upload"
    ),
    "error-ids": Fact(
        "Ids, closes and statuses mean what `wire/catalog` says.", "docs: error catalog; skill v2"
    ),
    "close-codes": Fact(
        "4003 is a missing scope, 1008 a bad model, 1013 a missing backend, 1000 the end.",
        "skill v2",
    ),
    "quota-close": Fact(
        "A rate or quota that is used up closes a session with 4029, right after it opened. With "
        "4003 for HTTP 403 it is inferred that other own codes are 4000 + (status - 400).",
        "seen of a third-party client, 2026-08-14 (sougni-dev-br/interhuman-signals)",
    ),
}


def shows(name: str) -> pytest.MarkDecorator:
    """Mark a test as the one that shows a fact."""
    assert name in FACTS, name
    return pytest.mark.fact(name)
