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
SHARED: dict[str, Any] = yaml.safe_load((FOLDER / "postgres" / "compose.yaml").read_text("utf-8"))
REPLICAS: list[dict[str, Any]] = [
    *yaml.safe_load_all((FOLDER / "postgres" / "kubernetes.yaml").read_text("utf-8"))
]
POD = KUBERNETES[0]["spec"]["template"]["spec"]
SERVICE = COMPOSE["services"]["ih-mcp"]


PODS = [POD, REPLICAS[0]["spec"]["template"]["spec"]]
SERVICES = [SERVICE, *(SHARED["services"][f"ih-mcp-{number}"] for number in (1, 2))]


def variables_of(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}


def test_every_variable_is_a_setting() -> None:
    for named in [*map(variables_of, PODS), *(each["environment"] for each in SERVICES)]:
        assert {*named} - {"POD_IP"} <= VARIABLES
        assert {"INTERHUMAN_API_KEY", "IH_MCP_CALLERS", "IH_MCP_PUBLIC_URL"} <= {*named}


def test_the_server_has_time_to_drain() -> None:
    drain = read_settings().drain_seconds
    for pod in PODS:
        assert pod["terminationGracePeriodSeconds"] > drain
    for service in SERVICES:
        assert int(service["stop_grace_period"].removesuffix("s")) > drain


def test_probes_ask_the_paths_and_the_port_that_there_are() -> None:
    for pod in PODS:
        (container,) = pod["containers"]
        asked = [container[name]["exec"]["command"] for name in ("readinessProbe", "livenessProbe")]
        assert list(map(url_asked, asked)) == [
            "http://127.0.0.1:8765/ready",
            "http://127.0.0.1:8765/health",
        ]
        assert container["ports"][0]["containerPort"] == 8765
    for service in SERVICES:
        assert url_asked(service["healthcheck"]["test"]) == "http://127.0.0.1:8765/health"
    assert "ih-mcp:8765" in (FOLDER / "Caddyfile").read_text("utf-8")
    assert "ih-mcp-1:8765 ih-mcp-2:8765" in (FOLDER / "postgres" / "Caddyfile").read_text("utf-8")


def url_asked(check: list[str]) -> str:
    found: str = re.findall(r"'(http://[^']+)'", check[-1])[0]
    return found


def test_a_journal_in_sqlite_has_one_writer() -> None:
    assert KUBERNETES[0]["spec"]["replicas"] == 1
    assert KUBERNETES[0]["spec"]["strategy"] == {"type": "Recreate"}


def test_replicas_share_database_files_and_secret_and_each_has_its_address() -> None:
    in_pods, one, other = variables_of(PODS[1]), *(each["environment"] for each in SERVICES[1:])
    for named in (in_pods, one):
        assert {"IH_MCP_JOURNAL", "IH_MCP_UPLOADS", "IH_MCP_CLUSTER_SECRET"} <= {*named}
        assert named["IH_MCP_CLUSTER_LISTEN"] == "0.0.0.0:8766"
    assert in_pods["IH_MCP_ADDRESS"] == "http://$(POD_IP):8766"
    assert one["IH_MCP_ADDRESS"] == "http://ih-mcp-1:8766"
    assert {name for name in one if one[name] != other[name]} == {"IH_MCP_ADDRESS"}
    assert REPLICAS[0]["spec"]["replicas"] == 2
    assert REPLICAS[0]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert REPLICAS[1]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_database_of_the_containers_listens_on_no_network_and_its_user_is_no_superuser() -> (
    None
):
    postgres = SHARED["services"]["postgres"]
    assert postgres["command"] == ["postgres", "-c", "listen_addresses="]
    assert "ports" not in postgres
    assert "socket:/var/run/postgresql" in postgres["volumes"]
    assert "socket:/database" in SERVICES[1]["volumes"]
    journal = SERVICES[1]["environment"]["IH_MCP_JOURNAL"]
    assert journal == "postgresql://ih@/ih?host=/database"
    made = (FOLDER / "postgres" / "database.sql").read_text("utf-8")
    assert "CREATE ROLE ih LOGIN;" in made


def test_a_database_that_is_only_being_made_is_not_healthy() -> None:
    """Its first start has another process, which answers too."""
    (_, check) = SHARED["services"]["postgres"]["healthcheck"]["test"]
    assert check.startswith("[ $$(head -n 1 $$PGDATA/postmaster.pid) = 1 ] && pg_isready")


def test_the_balancer_asks_under_the_name_that_is_served() -> None:
    """By itself it asks under that of the replica, and takes each one for ill."""
    text = (FOLDER / "postgres" / "Caddyfile").read_text("utf-8")
    assert re.search(r"health_headers \{\s*Host \{\$TEAM_HOST\}", text)


def test_only_replicas_reach_the_port_of_replicas() -> None:
    (policy,) = (each for each in REPLICAS if each["kind"] == "NetworkPolicy")
    others = [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
    assert [rule["ports"] for rule in others] == [[{"port": "http"}]]


def test_a_container_sees_the_callers_file_that_took_the_place_of_another() -> None:
    """A file that is mounted alone stays the one it was, and `caller add` writes a new one."""
    for service in SERVICES:
        assert "./config:/config:ro" in service["volumes"]
        assert service["environment"]["IH_MCP_CALLERS"] == "/config/callers.toml"
    for pod in PODS:
        (container,) = pod["containers"]
        assert not [each for each in container["volumeMounts"] if "subPath" in each]


def test_nothing_runs_as_root_or_writes_into_the_image() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text("utf-8")
    for pod in PODS:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert f"USER {pod['securityContext']['runAsUser']}" in dockerfile
    assert all(service["read_only"] for service in SERVICES)


def test_the_image_has_what_these_need() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text("utf-8")
    for name in ("psycopg", "psycopg-binary", "prometheus-client", "opentelemetry-sdk"):
        assert f"\n{name}==" in lock


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


def test_each_alert_has_a_paragraph_in_the_runbook() -> None:
    runbook = (REPOSITORY / "docs" / "team.md").read_text("utf-8").partition("## Runbook")[2]
    assert len(ALERTS) == 8
    for rule in ALERTS:
        assert f"`{rule['alert']}`" in runbook
        assert rule["annotations"]["summary"].endswith(".")


def test_the_alert_for_leases_comes_when_media_is_held_and_before_the_streams_end() -> None:
    leases = pytest.importorskip("ih_mcp.journal.postgres.leases", reason="the extra `team`")
    (rule,) = [each for each in ALERTS if "ih_lease_seconds_left" in each["expr"]]
    left = float(rule["expr"].rpartition("<")[2])
    assert left == leases.LEASE_SECONDS - leases.HOLD_SECONDS
    assert "for" not in rule  # it has no more time than that
