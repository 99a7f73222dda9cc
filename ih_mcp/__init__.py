"""Interhuman's live social-intelligence API for agents and people.

The package is a strict wrapper: every message of the API is relayed byte for byte, in
order, each on its own. `python -m ih_mcp` starts the MCP server over stdio; `ih-mcp --help`
tells the rest.
"""

__version__ = "0.1.0"
