"""Our figures beside their floors, measured in the same run. `make bench` runs all of it.

Machines are noisy: each round runs every variant once, ratios are taken inside a round, and
medians are printed. Compare ratios, not absolute times.
"""

SKIPPED = 77
"""Exit code of a command that could not run here, as automake has it."""
