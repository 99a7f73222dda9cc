"""Options that several commands share."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser

from ih_mcp.wire.dialects import DIALECTS

QUALITY_SECTIONS = ("conversation_quality_overall", "conversation_quality_timeline")


def add_local(parser: ArgumentParser) -> None:
    """`--local`, before or behind the command."""
    parser.add_argument(
        "--local",
        action="store_true",
        default=argparse.SUPPRESS,
        help="use the local stand-in instead of the service: no key, no network",
    )


def add_stream_id(parser: ArgumentParser, *, default: str = "the newest stream") -> None:
    """`STREAM`, which may be left out."""
    parser.add_argument(
        "stream_id",
        metavar="STREAM",
        nargs="?",
        help=f"id of a stream or an analysis, or its beginning; default: {default}",
    )


def add_raw(parser: ArgumentParser) -> None:
    """`--raw`, for commands that print what the service said."""
    parser.add_argument(
        "--raw",
        action="store_true",
        help="on a terminal too, print control characters as they came; files and pipes always "
        "get every byte as it came",
    )


def add_stream_options(parser: ArgumentParser) -> None:
    """How a new stream is opened: `--api`, `--model`, `--include`, `--goal`, `--label`."""
    parser.add_argument(
        "--api", choices=[*DIALECTS], help="version of the API; default: IH_MCP_API, else v1"
    )
    add_model(parser)
    parser.add_argument(
        "--include",
        action="append",
        choices=QUALITY_SECTIONS,
        help="a section to receive as well; may be given several times",
    )
    add_goal(parser)
    parser.add_argument("--label", default="", help="your own name for it, such as P07")


def add_goal(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--goal",
        action="append",
        help="what to coach for: clarity, authority, energy, rapport or learning; may be given "
        "several times",
    )


def add_model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", help="for v2 only: inter-2 or inter-2-audio")
