"""An app that reports with the real jaeger-client and over every Thrift transport, and with OTLP,
told where by nothing but its environment. Arguments: ports of the binary protocol and of HTTP."""

import http.client
import json
import os
import socket
import sys
import time
import urllib.request

from jaeger_client import Config
from jaeger_client.thrift_gen.agent import Agent
from jaeger_client.thrift_gen.jaeger import ttypes
from thrift.protocol import TBinaryProtocol
from thrift.Thrift import TMessageType
from thrift.transport import TTransport

HOST = os.environ["JAEGER_AGENT_HOST"]
BINARY_PORT, HTTP_PORT = int(sys.argv[1]), int(sys.argv[2])


def with_the_client():
    """Compact datagrams; the sampler asks the agent whether to keep the span."""
    sampling = urllib.request.urlopen(
        os.environ["JAEGER_SAMPLING_ENDPOINT"] + "?service=shop", timeout=5
    )
    assert json.load(sampling)["strategyType"] == "PROBABILISTIC"
    port = os.environ["JAEGER_SAMPLING_ENDPOINT"].split(":")[2].split("/")[0]
    agent = {"sampling_port": int(port), "reporting_port": int(os.environ["JAEGER_AGENT_PORT"])}
    config = {"local_agent": agent, "sampling_refresh_interval": 1}
    tracer = Config(config=config, service_name="shop", validate=False).initialize_tracer()
    # The remote sampler starts with a small probability and asks in the background.
    for _ in range(20):
        with tracer.start_span("compact") as span:
            span.set_tag("span.kind", "server")
            span.log_kv({"event": "cache miss"})
            kept = span.is_sampled()
        if kept:
            break
        time.sleep(0.5)
    assert kept, "the sampler was never told to keep everything"
    tracer.close()
    # The reporter flushes once a second.
    time.sleep(2)


def batch(name):
    span = ttypes.Span(
        traceIdLow=1,
        traceIdHigh=2,
        spanId=3,
        parentSpanId=0,
        operationName=name,
        flags=1,
        startTime=int(time.time() * 1e6),
        duration=5,
    )
    tags = [ttypes.Tag(key="hostname", vType=0, vStr=os.environ.get("CLAIM", "nobody"))]
    return ttypes.Batch(process=ttypes.Process(serviceName="shop", tags=tags), spans=[span])


def with_binary_datagrams():
    transport = TTransport.TMemoryBuffer()
    protocol = TBinaryProtocol.TBinaryProtocol(transport)
    protocol.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 0)
    Agent.emitBatch_args(batch=batch("binary")).write(protocol)
    protocol.writeMessageEnd()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(transport.getvalue(), (HOST, BINARY_PORT))


def over_http():
    transport = TTransport.TMemoryBuffer()
    batch("http").write(TBinaryProtocol.TBinaryProtocol(transport))
    connection = http.client.HTTPConnection(HOST, HTTP_PORT, timeout=5)
    headers = {"Content-Type": "application/vnd.apache.thrift.binary"}
    connection.request("POST", "/api/traces?format=jaeger.thrift", transport.getvalue(), headers)
    status = connection.getresponse().status
    assert status == 202, status


def with_otlp():
    span = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
    claim = [{"key": "guid", "value": {"stringValue": os.environ.get("CLAIM", "nobody")}}]
    export = {
        "resourceSpans": [
            {
                "resource": {"attributes": claim},
                "scopeSpans": [{"spans": [dict(span, name="otlp")]}],
            }
        ]
    }
    request = urllib.request.Request(
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces",
        json.dumps(export).encode(),
        {"Content-Type": "application/json"},
    )
    assert urllib.request.urlopen(request, timeout=5).status == 200


with_otlp()
with_binary_datagrams()
over_http()
with_the_client()
print("reported", flush=True)
time.sleep(600)
