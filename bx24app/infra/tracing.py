"""OpenTelemetry traces of one call over web, queue and REST.

Tracing is off unless BX24APP_OTLP_ENDPOINT is set; then the extra `otel` must be installed. The trace id of a call is
derived from its portal and entry, so every process of every machine agrees on it and the queue need not carry it. Work
that belongs to no call is not traced. The exporter belongs to the process, as OpenTelemetry's does: of two applications
in one process the last one decides about the endpoint.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from bx24app.config import ConfigError

_endpoint = ""
_tracer: tuple[int, Any] = (0, None)
"""Process id and tracer: a forked process makes its own, since the exporter's thread stays in the parent."""
_current_trace_id: ContextVar[int] = ContextVar("trace_id", default=0)
_NO_SPAN: AbstractContextManager[None] = nullcontext()


def set_up(endpoint: str) -> None:
    """Send traces to this OTLP/HTTP collector (`http://collector:4318/v1/traces`); with an empty text trace nothing.

    Raises:
        ConfigError: the extra `otel` is not installed.
    """
    global _endpoint
    if endpoint:
        try:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401 - both are needed at the first span
        except ImportError:
            raise ConfigError(
                f"BX24APP_OTLP_ENDPOINT is {endpoint!r}: OpenTelemetry is not installed; "
                "pip install '.[otel]', or leave the variable out"
            ) from None
    if endpoint != _endpoint:
        shut_down()
    _endpoint = endpoint


def is_enabled() -> bool:
    """Is tracing on? Callers ask before they load what only a trace needs."""
    return bool(_endpoint)


def trace_id(portal_id: int, entry_id: str) -> int:
    """The 128-bit trace id of a call, the same in every process.

    >>> trace_id(1, "a") == trace_id(1, "a") != trace_id(2, "a")
    True
    """
    name = f"{portal_id}:{entry_id}".encode(errors="replace")
    return int.from_bytes(hashlib.blake2b(name, digest_size=16).digest()) or 1


def call_span(name: str, portal_id: int, entry_id: str | None, **facts: Any) -> AbstractContextManager[None]:
    """Record the block as a span of this call's trace. Facts are numbers and words, never bodies, tokens or phone
    numbers.
    """
    if not _endpoint or not entry_id:
        return _NO_SPAN
    return _start_span(name, portal_id, (entry_id,), facts)


def shared_span(name: str, portal_id: int, entries: Iterable[str], **facts: Any) -> AbstractContextManager[None]:
    """Record the block as a span that several calls share, such as a batch: in the first call's trace, linked to the
    others.
    """
    traced_entries = tuple(entries) if _endpoint else ()
    return _start_span(name, portal_id, traced_entries, facts) if traced_entries else _NO_SPAN


def mark_failed(reason: str) -> None:
    """End the current span as an error, for work that reports a failure without raising it."""
    if _endpoint:
        from opentelemetry.trace import StatusCode, get_current_span

        get_current_span().set_status(StatusCode.ERROR, reason)


def flush_spans() -> None:
    """Send the spans that wait, before a process ends."""
    pid, tracer = _tracer
    if tracer is not None and pid == os.getpid():
        tracer.provider.force_flush(2000)


def shut_down() -> None:
    """Send the spans that wait, and end the exporter's thread."""
    global _tracer
    pid, tracer = _tracer
    if tracer is not None and pid == os.getpid():
        tracer.provider.shutdown()
    _tracer = (0, None)


@contextmanager
def _start_span(name: str, portal_id: int, entries: tuple[str, ...], facts: dict[str, Any]) -> Iterator[None]:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    links = [
        Link(SpanContext(other, other & 0xFFFFFFFFFFFFFFFF or 1, True, TraceFlags(TraceFlags.SAMPLED)))
        for other in (trace_id(portal_id, entry) for entry in entries[1:])
    ]
    token = _current_trace_id.set(trace_id(portal_id, entries[0]))
    try:
        with _process_tracer().start_as_current_span(
            name, context=Context(), links=links, attributes={"bx24app.portal": portal_id} | facts
        ):
            yield
    finally:
        _current_trace_id.reset(token)


def _process_tracer() -> Any:
    global _tracer
    pid, tracer = _tracer
    if pid != os.getpid():
        tracer = _new_tracer()
        _tracer = (os.getpid(), tracer)
    return tracer


def _new_tracer() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class CallTraceIdGenerator(RandomIdGenerator):
        """Gives a root span the trace id of its call."""

        def generate_trace_id(self) -> int:
            return _current_trace_id.get() or super().generate_trace_id()

    resource = Resource.create({"service.name": "bx24app"})
    provider = TracerProvider(resource=resource, id_generator=CallTraceIdGenerator())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=_endpoint)))
    tracer = provider.get_tracer("bx24app")
    tracer.provider = provider  # type: ignore[attr-defined]  # to flush it
    return tracer
