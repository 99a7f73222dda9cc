"""Run by the Python of an environment that has other people's readers, and nothing of ours.

Prints, as JSON, what each of them finds in the exports of a folder.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas
import pympi
import pysubs2
from praatio import textgrid
from speach import elan

folder = Path(sys.argv[1])
PHASES = """SELECT name, start_seconds, end_seconds, probability FROM '{}'
    WHERE kind = 'signal' ORDER BY ALL"""

LINES = "SELECT count(raw) FROM read_json('{}', format = 'newline_delimited')"


def duck(kind: str) -> list[list[object]]:
    return [list(row) for row in duckdb.sql(PHASES.format(folder / f"x.{kind}")).fetchall()]


def panda(table: pandas.DataFrame) -> list[list[object]]:
    found = table[table["kind"] == "signal"]
    columns = ["name", "start_seconds", "end_seconds", "probability"]
    return found[columns].sort_values(columns).to_numpy().tolist()


by_pympi = pympi.Eaf(str(folder / "x.eaf"))
by_speach = elan.read_eaf(str(folder / "x.eaf"))
by_praatio = textgrid.openTextgrid(str(folder / "x.TextGrid"), includeEmptyIntervals=False)
found = {
    "duckdb csv": duck("csv"),
    "duckdb parquet": duck("parquet"),
    "pandas csv": panda(pandas.read_csv(folder / "x.csv")),
    "pandas parquet": panda(pandas.read_parquet(folder / "x.parquet")),
    "duckdb jsonl": duckdb.sql(LINES.format(folder / "x.jsonl")).fetchall(),
    "pympi": {
        name: [list(each[:3]) for each in sorted(by_pympi.get_annotation_data_for_tier(name))]
        for name in by_pympi.get_tier_names()
    },
    "speach": {
        tier.ID: sorted([each.from_ts.value, each.to_ts.value, each.text] for each in tier)
        for tier in by_speach
    },
    "praatio": {
        name: [[e.start, e.end, e.label] for e in by_praatio.getTier(name).entries]
        for name in by_praatio.tierNames
    },
    "pysubs2": {
        kind: sum(1 for _ in pysubs2.load(str(folder / f"x.{kind}"))) for kind in ("vtt", "srt")
    },
}
print(json.dumps(found))
