"""`ih-mcp token`: mint a token."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import anyio
from pydantic import ValidationError
from rich.console import Console

from ih_mcp.app.credentials import MintedToken
from ih_mcp.app.runtime import open_runtime
from ih_mcp.errors import CallerError
from ih_mcp.mcp_server.arguments import problems_of
from ih_mcp.mcp_server.token_tools import CreateToken, mint_token
from ih_mcp.settings import Settings
from ih_mcp.stand_in import STAND_IN

from .consent import TerminalChannel
from .console import print_line, write_output
from .options import add_local, add_raw
from .progress import doing

_CAPS = {
    "expires_in": "seconds until it expires, 60 to 3600; default: 300",
    "max_duration_seconds": "how long each session may last",
    "max_bytes": "how many bytes of video may be sent with it",
    "max_concurrent": "how many sessions may be open at once",
    "max_video_seconds": "how much media all sessions and uploads together may have",
}
"""What a client token may be bounded by, and what that is."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = "Mint a token that others can use without seeing the key."
    add_local(parser)
    parser.add_argument(
        "--kind",
        choices=["client", "access"],
        default="client",
        help="client (default): from the API key, capped; access: from a key pair",
    )
    parser.add_argument(
        "--scope", action="append", dest="scopes", help="what it allows; may be given several times"
    )
    for cap, meaning in _CAPS.items():
        name, metavar = cap.replace("_", "-"), "BYTES" if cap == "max_bytes" else "N"
        parser.add_argument(
            f"--{name}", type=int, dest=cap, metavar=metavar, help=f"client only: {meaning}"
        )
    parser.add_argument(
        "--allowed-origin",
        action="append",
        dest="allowed_origins",
        metavar="ORIGIN",
        help="client only: a web page's origin that may use it; may be given several times",
    )
    add_raw(parser)


def run(options: Namespace, settings: Settings) -> int:
    """Print the service's JSON, as it came.

    Raises:
        CallerError: The options contradict each other; the service was not asked.
    """
    try:
        asked = CreateToken(**{name: getattr(options, name) for name in CreateToken.model_fields})
    except ValidationError as exc:
        raise CallerError(
            f"no token was asked for: {'; '.join(problems_of(exc))}", help="See `token --help`."
        ) from None
    minted = anyio.run(_mint, settings, asked)
    write_output(minted.body.encode() + b"\n", is_raw=options.raw)
    if minted.is_stand_in:
        print_line(Console(stderr=True), STAND_IN)
    return 0


async def _mint(settings: Settings, asked: CreateToken) -> MintedToken:
    console = Console(stderr=True)
    async with open_runtime(settings, trusted=True) as runtime, doing(console, "asking"):
        return await mint_token(runtime, asked, TerminalChannel(console))
