"""The stand-in's HTTP and WebSocket server: paths, keys, tokens and uploads."""
