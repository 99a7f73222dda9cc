"""`python -m ih_mcp` is `ih-mcp`."""

from ih_mcp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
