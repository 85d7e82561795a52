"""What stands in deploy/, Dockerfile and compose.yaml fits the program: variables, metrics, commands, files. Images
cannot be built here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from flask import Flask

from bx24app.cli.main import main
from bx24app.config import PREFIX, Config
from bx24app.models import db
from bx24app.web.monitoring import metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VARIABLES = {PREFIX + name.upper() for name in Config.model_fields} | {"BX24APP_HOST"}
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile",
        "compose.yaml",
        "deploy/env.example",
        "deploy/Caddyfile",
        "deploy/nginx.conf",
        *(str(u.relative_to(ROOT)) for u in UNITS),
    ],
)
def test_every_variable_is_one_of_ours(name: str) -> None:
    named = set(re.findall(r"BX24APP_[A-Z_]+", (ROOT / name).read_text()))
    assert named <= VARIABLES, named - VARIABLES


@pytest.fixture
def told(app: Flask, portal_id: int) -> set[str]:
    """Names of all metrics, as they are scraped."""
    db.session.remove()
    return set(re.findall(r"^# TYPE (\S+)", metrics.render_text(), re.MULTILINE))


def unknown(expression: str, told: set[str]) -> set[str]:
    named = set(re.findall(r"\bbx24app_\w+", expression))
    return {name for name in named if re.sub(r"_(bucket|count|sum)$", "", name) not in told}


def test_dashboard_and_alerts_ask_for_metrics_that_exist(told: set[str]) -> None:
    board = json.loads((DEPLOY / "grafana" / "bx24app.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for rule in ALERTS]
    assert len(asked) > 20
    assert {name for one in asked for name in unknown(one, told)} == set()
    assert unknown("rate(bx24app_no_such_total[5m])", told) == {"bx24app_no_such_total"}
    shown = " ".join(asked)
    assert {name for name in told if name.startswith("bx24app_") and name not in shown} == set(), "shown nowhere"


def test_each_alert_says_what_to_do() -> None:
    manual = (ROOT / "docs" / "operator.md").read_text()
    for rule in ALERTS:
        assert f"### {rule['alert']}\n" in manual, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_the_commands_of_image_and_units_exist() -> None:
    begun = re.search(r'^CMD (\[.*\])$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert begun is not None
    commands = [json.loads(begun.group(1))]
    for unit in UNITS:
        started = re.search(r"^ExecStart=\S+/bx24app (.*)$", unit.read_text(), re.MULTILINE)
        assert started is not None, unit
        commands.append(started.group(1).split())
    for command in commands:
        said = CliRunner().invoke(main, [*command, "--help"])
        assert said.exit_code == 0, said.output


def test_the_image_gets_what_it_copies() -> None:
    """Each path that is copied exists and is let in by .dockerignore."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, one) or source.startswith(one + "/") for one in allowed), source


def test_compose_joins_what_it_names() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    app = services["app"]
    assert set(app["depends_on"]) <= set(services)
    assert "@postgres/" in app["environment"]["BX24APP_DATABASE_URL"]
    assert "//valkey:" in app["environment"]["BX24APP_REDIS_URL"]
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert {one for one in mounted if not one.startswith(".")} == set(compose["volumes"])
    for one in mounted:
        assert not one.startswith(".") or (ROOT / one).exists(), one
    for name in ("postgres", "valkey"):
        assert services[name]["healthcheck"]
    example = (DEPLOY / "env.example").read_text()
    wanted = set(re.findall(r"\$\{(\w+):", (ROOT / "compose.yaml").read_text()))
    assert {name for name in wanted if f"\n{name}=" not in example} == set()


def test_the_units_are_understood() -> None:
    program = shutil.which("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text()
        for word in ("User=bx24app", "ProtectSystem=strict", "TimeoutStopSec=15", "EnvironmentFile=/etc/bx24app/env"):
            assert f"\n{word}\n" in text, (unit.name, word)
    if program is not None:  # a machine without systemd has no one to ask
        done = subprocess.run([program, "verify", *map(str, UNITS)], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if "bx24app" in line and "is not executable" not in line]
        assert said == []
