"""Run every benchmark: `python -m bench [--rounds N] [NAME ...]`."""

from __future__ import annotations

import argparse

from . import bench_cues, first_segment, poll, relay, split, start

BENCHES = {
    "start": start,
    "poll": poll,
    "relay": relay,
    "first_segment": first_segment,
    "split": split,
    "cues": bench_cues,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    options = parser.parse_args()
    for name in options.names or BENCHES:
        BENCHES[name].run(options.rounds)


if __name__ == "__main__":
    main()
