"""The stand-in's HTTP and WebSocket server, its keys and its records."""
