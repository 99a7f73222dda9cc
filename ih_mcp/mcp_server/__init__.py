"""What an MCP client sees: tools, resources, prompts, over stdio."""
