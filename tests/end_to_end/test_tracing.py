"""One call's trace over web, queue and REST, as an OpenTelemetry collector receives it; and the log, a line for each
stop of the way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bx24app import config
from bx24app.infra import tracing
from tests.conftest import config_for
from tests.end_to_end.test_scenarios import told
from tests.support.replayed_scenario import in_portal
from tests.support.scenarios import all_scenarios
from tests.support.stack import World, until, world

SCENARIO = next(s for s in all_scenarios() if s.folder.name == "transfer_blind_by_api")


class Collector(BaseHTTPRequestHandler):
    """OTLP over HTTP: remembers the spans."""

    spans: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest()
        sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/traces"
        self.spans.extend(
            span for resource in sent.resource_spans for scope in resource.scope_spans for span in scope.spans
        )
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    tracing.shut_down()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, collector: str) -> Iterator[World]:
    """A working app that traces."""
    place = tmp_path_factory.mktemp("traced")
    with world(place, valkey_url, config_for, quiet_seconds=2, otlp_endpoint=collector) as made:
        made.portal.limits.rate = 0
        made.work()
        made.install()
        yield made


def test_a_call_is_one_trace_and_every_stop_has_a_line(
    earth: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    retold, found = told(earth, SCENARIO, "as it is")
    assert found["calls"]
    until(lambda: all(row[7] for row in in_portal(earth, retold)["calls"]), "no recording")
    tracing.flush_spans()
    trace = tracing.trace_id(earth.portal_row()["id"], retold.entry_id).to_bytes(16)
    mine = [span for span in Collector.spans if span.trace_id == trace]
    names = {span.name for span in mine}
    assert {"store notification", "fold call", "ask portal", "fetch recording", "attach recording"} <= names
    stored = [span for span in mine if span.name == "store notification"]
    of_calls = [notice for notice in retold.notices if "entry_id" in notice.content]
    assert len(stored) == len(of_calls), "a span for each notification that names the call"
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano > 0 for span in mine)
    asked = [
        value
        for span in mine
        for pair in span.attributes
        if pair.key == "bx24app.commands"
        for value in pair.value.array_value.values
    ]
    assert {"Register", "Finish"} <= {value.string_value for value in asked}
    written = [record.getMessage() for record in caplog.records]
    for stop in ("notification taken", "call decided", "portal asked", "recording attached"):
        assert any(stop in line for line in written), stop
    everything = str(Collector.spans) + "".join(written)
    assert retold.client[1:] not in everything, "a telephone in full"


def test_without_the_extra_the_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(config.ConfigError, match=r"BX24APP_OTLP_ENDPOINT is 'http://x/': .*pip install"):
        tracing.set_up("http://x/")


def test_nothing_is_traced_unless_it_is_asked_for() -> None:
    tracing.set_up("")
    assert tracing.call_span("x", 1, "e") is tracing.call_span("y", 2, "f")
    assert not tracing.is_enabled()
