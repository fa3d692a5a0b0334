"""An application with OpenTelemetry's SDK: metrics, logs and traces, once to a sink and once to guidon.

Usage: otlp_client.py http|grpc|json DIRECT_URL GUIDON_URL

DIRECT_URL is the base of an OTLP/HTTP sink; GUIDON_URL the base of OTLP/HTTP, or the target for
gRPC. Both get the very same data. The SDK has no JSON exporter: `json` encodes with the SDK's own
encoder and writes the messages as the OTLP specification says.
"""

import base64
import json
import logging
import sys
import urllib.request

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

IDS = {"traceId", "spanId", "parentSpanId"}
FAILED = []


def otlp_json(message):
    """A message as OTLP's JSON: ids are hex there, enums numbers."""

    def walk(value):
        if isinstance(value, dict):
            return {
                key: base64.b64decode(inner).hex() if key in IDS else walk(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list):
            return [walk(inner) for inner in value]
        return value

    return walk(MessageToDict(message, use_integers_for_enums=True))


class Json:
    """Posts what the SDK encodes as JSON."""

    def __init__(self, url, encode, success):
        self.url, self.encode, self.success = url, encode, success

    def export(self, batch, **_):
        body = json.dumps(otlp_json(self.encode(batch))).encode()
        request = urllib.request.Request(
            self.url, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            assert json.load(answer) == {}, "full success"
        return self.success


class Tee:
    """Two exporters that get the same."""

    def __init__(self, success, *exporters):
        self.success, self.exporters = success, exporters

    def export(self, batch, **_):
        for exporter in self.exporters:
            result = exporter.export(batch)
            if result != self.success:
                FAILED.append((exporter, result))
        return self.success

    def shutdown(self, *_, **__):
        pass

    def force_flush(self, *_, **__):
        return True


class MetricTee(MetricExporter):
    def __init__(self, *exporters):
        super().__init__()
        self.tee = Tee(MetricExportResult.SUCCESS, *exporters)

    def export(self, metrics_data, timeout_millis=10_000, **_):
        return self.tee.export(metrics_data)

    def shutdown(self, timeout_millis=30_000, **_):
        pass

    def force_flush(self, timeout_millis=10_000):
        return True


def exporters(protocol, url):
    """Exporters of spans, logs and metrics."""
    if protocol == "grpc":
        more = {"endpoint": url, "insecure": True, "compression": None}
        return GrpcSpans(**more), GrpcLogs(**more), GrpcMetrics(**more)
    if protocol == "json":
        return (
            Json(f"{url}/v1/traces", encode_spans, SpanExportResult.SUCCESS),
            Json(f"{url}/v1/logs", encode_logs, LogRecordExportResult.SUCCESS),
            Json(f"{url}/v1/metrics", encode_metrics, MetricExportResult.SUCCESS),
        )
    gzip = {"compression": Compression.Gzip}
    return (
        HttpSpans(f"{url}/v1/traces", **gzip),
        HttpLogs(f"{url}/v1/logs", **gzip),
        HttpMetrics(f"{url}/v1/metrics", **gzip),
    )


def main():
    protocol, direct_url, guidon_url = sys.argv[1:]
    spans, logs, metrics = zip(
        exporters("http", direct_url), exporters(protocol, guidon_url)
    )
    resource = Resource.create(
        {
            "service.name": f"shop-{protocol}",
            "service.instance.id": "its-own",
            "guid": "forged",
            "größe": 3,
        }
    )

    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(SimpleSpanProcessor(Tee(SpanExportResult.SUCCESS, *spans)))
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(
        SimpleLogRecordProcessor(Tee(LogRecordExportResult.SUCCESS, *logs))
    )
    reader = PeriodicExportingMetricReader(MetricTee(*metrics), export_interval_millis=3_600_000)
    meters = MeterProvider([reader], resource)

    logger = logging.getLogger("shop")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=loggers))

    tracer = tracers.get_tracer("shop.tracer", "1.2", attributes={"scope": "a"})
    with tracer.start_as_current_span("outer", attributes={"list": ["a", "b"], "n": 2**60}) as outer:
        with tracer.start_as_current_span("inner", links=[trace.Link(outer.get_span_context())]) as inner:
            inner.add_event("happened", {"x": 0.1, "yes": True})
            inner.set_status(trace.Status(trace.StatusCode.ERROR, "why"))
            logger.error("it was %s", "größe", extra={"code": 7})
    logger.warning("outside of any span")

    meter = meters.get_meter("shop.meter")
    done = meter.create_counter("jobs.done", "{job}", "jobs that are done")
    done.add(3, {"kind": "a"})
    done.add(2**55, {"kind": "b"})
    meter.create_up_down_counter("jobs.open").add(-1)
    wait = meter.create_histogram("wait", "s")
    for seconds in (0.001, 0.1, 0.3, 7.0, 1e9):
        wait.record(seconds)
    meter.create_gauge("speed", "m/s").set(0.1 + 0.2)

    meters.force_flush()
    meters.shutdown()
    assert not FAILED, FAILED


main()
