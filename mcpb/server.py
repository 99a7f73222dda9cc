"""The bundle's way in: the MCP server over stdio, as `ih-mcp` starts it."""

import sys

from ih_mcp.cli import main

if __name__ == "__main__":
    sys.exit(main([]))
