"""The files for deploying: what they set exists, and fits what the server does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ih_mcp.http_server.metrics import METRICS
from ih_mcp.settings import Settings, read_settings
from tests.road.host import REPOSITORY

yaml = pytest.importorskip("yaml")
FOLDER = REPOSITORY / "examples" / "team"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
KUBERNETES: list[dict[str, Any]] = [
    *yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))
]
VARIABLES = {str(field.validation_alias) for field in Settings.model_fields.values()}
POD = KUBERNETES[0]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
SERVICE = COMPOSE["services"]["ih-mcp"]


def test_every_variable_is_a_setting() -> None:
    named = {entry["name"] for entry in CONTAINER["env"]} | set(SERVICE["environment"])
    assert named <= VARIABLES
    assert {"INTERHUMAN_API_KEY", "IH_MCP_CALLERS", "IH_MCP_PUBLIC_URL"} <= named


def test_the_server_has_time_to_drain() -> None:
    drain = read_settings().drain_seconds
    assert POD["terminationGracePeriodSeconds"] > drain
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) > drain


def test_probes_ask_the_paths_and_the_port_that_there_are() -> None:
    checks = [CONTAINER[name]["exec"]["command"] for name in ("readinessProbe", "livenessProbe")]
    asked = [check[-1] for check in [*checks, SERVICE["healthcheck"]["test"]]]
    urls = [re.findall(r"'(http://[^']+)'", code)[0] for code in asked]
    assert urls == [f"http://127.0.0.1:8765/{path}" for path in ("ready", "health", "health")]
    assert CONTAINER["ports"][0]["containerPort"] == 8765
    assert "ih-mcp:8765" in (FOLDER / "Caddyfile").read_text("utf-8")


def test_a_journal_in_sqlite_has_one_writer() -> None:
    assert KUBERNETES[0]["spec"]["replicas"] == 1
    assert KUBERNETES[0]["spec"]["strategy"] == {"type": "Recreate"}


def test_nothing_runs_as_root_or_writes_into_the_image() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert SERVICE["read_only"]
    dockerfile = (REPOSITORY / "Dockerfile").read_text("utf-8")
    assert f"USER {POD['securityContext']['runAsUser']}" in dockerfile


def test_nginx_passes_the_websocket_of_the_capture_page_on() -> None:
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    assert "proxy_set_header Upgrade $http_upgrade;" in text
    assert "proxy_set_header Connection $connection_upgrade;" in text


# --- dashboard and alerts ------------------------------------------------------------------------

_METRIC = re.compile(r"\b((?:ih|mcp_server|http_server)_[a-z_]+)(\{[^}]*\})?")
_ROWS = {row.name: row for row in METRICS}
BOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
ON_BOARD = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("query", [*ON_BOARD, *(rule["expr"] for rule in ALERTS)])
def test_every_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    assert query.count("(") == query.count(")")
    named = _METRIC.findall(query)
    assert named or query.startswith("up{")
    labels = set[str]()
    for name, selector in named:
        row = _ROWS[re.sub(r"_(bucket|count|sum)$", "", name)]
        assert name.endswith(("_bucket", "_count", "_sum")) == (row.kind == "Histogram")
        assert set(re.findall(r"(\w+)=~?\"", selector)) <= {*row.labels}
        labels |= {*row.labels}
    for grouped in re.findall(r"by \(([^)]*)\)", query):
        assert {each.strip() for each in grouped.split(",")} <= {*labels, "le", "instance"}


def test_the_board_shows_every_metric_and_its_panels_do_not_overlap() -> None:
    shown = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for q in ON_BOARD
        for name, _ in _METRIC.findall(q)
    }
    assert shown == {*_ROWS}
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]}
    assert len(places) == len(BOARD["panels"]) == len({panel["id"] for panel in BOARD["panels"]})


def test_six_alerts_each_with_a_paragraph_in_the_runbook() -> None:
    runbook = (REPOSITORY / "docs" / "team.md").read_text("utf-8").partition("## Runbook")[2]
    assert len(ALERTS) == 6
    for rule in ALERTS:
        assert f"`{rule['alert']}`" in runbook
        assert rule["annotations"]["summary"].endswith(".")
