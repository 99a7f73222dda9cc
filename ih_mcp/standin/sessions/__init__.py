"""The server side of API sessions, one module per kind."""
