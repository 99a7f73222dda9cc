"""Bytes by chance against whatever reads bytes, led by the code they reach: `make fuzz`."""
