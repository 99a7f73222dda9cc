"""Faults by order: scripts of what the stand-in does instead of what the API would do."""
