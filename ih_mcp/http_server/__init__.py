"""`ih-mcp serve`: MCP over Streamable HTTP for a team.

A caller shows a key; the key belongs to a tenant. Each tenant has a runtime, a journal and a folder
of files of its own, so that no tool can reach what belongs to another tenant: there is no check
that could be forgotten. There are no MCP sessions: any request stands alone, in both eras of the
protocol, so that a restart loses none.
"""
