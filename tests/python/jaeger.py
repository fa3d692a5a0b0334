"""Stands in for Jaeger's agent and collector of v1 and its one program of v2: takes only flags that
these have, reads v2's file with a real YAML parser, listens where it is told, and hands spans on as
the real ones do. Spans come in over gRPC; the agent takes datagrams and counts them.

What it was told is in calls-NAME beside its log: a line of JSON for each start.
"""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from concurrent import futures

import grpc
import yaml

AGENT_FLAGS = {
    "reporter.grpc.host-port", "agent.tags", "processor.jaeger-compact.server-host-port",
    "processor.jaeger-binary.server-host-port", "processor.zipkin-compact.server-host-port",
    "http-server.host-port", "admin.http.host-port", "log-level",
}
COLLECTOR_FLAGS = {
    "collector.grpc-server.host-port", "collector.http-server.host-port",
    "collector.otlp.enabled", "admin.http.host-port", "grpc-storage.server", "log-level",
}
PASS = lambda message: message


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def fields(message):
    """The length-delimited fields of a protobuf message: number and bytes; others are skipped."""
    at, found = 0, []

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        match tag & 7:
            case 0:
                varint()
            case 1:
                at += 8
            case 5:
                at += 4
            case 2:
                length = varint()
                found.append((tag >> 3, message[at:at + length]))
                at += length
    return found


def field(number, data):
    length, prefix = len(data), bytearray([number << 3 | 2])
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(prefix) + bytes([length]) + data


def first(message, number):
    return next((data for known, data in fields(message) if known == number), b"")


def serve_admin(at, name):
    class Admin(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f'jaeger_{name}_build_info{{revision="0",version="v1.57.0"}} 1\n'.encode()
            self.send_response(200 if self.path in ("/", "/metrics", "/status") else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(address(at), Admin)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def serve_spans(at, take):
    """The collector's PostSpans: `take` gets process and spans."""

    def post(request, _context):
        batch = first(request, 1)
        take(first(batch, 2), [data for number, data in fields(batch) if number == 1])
        return b""

    methods = {"PostSpans": grpc.unary_unary_rpc_method_handler(post, PASS, PASS)}
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    service = "jaeger.api_v2.CollectorService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    server.add_insecure_port(at)
    server.start()
    return server


def agent(flags):
    for protocol in ("compact", "binary"):
        door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        door.bind(address(flags[f"processor.jaeger-{protocol}.server-host-port"]))

        def count(door=door, protocol=protocol):
            while True:
                note("agent", {"datagram": len(door.recv(65000)), "protocol": protocol})

        threading.Thread(target=count, daemon=True).start()
    serve_admin(flags["admin.http.host-port"], "agent")


def collector(flags):
    if "grpc" not in os.environ["SPAN_STORAGE_TYPE"].split(","):
        raise ValueError("this one stands in for storage over gRPC alone")
    channel = grpc.insecure_channel(flags["grpc-storage.server"])
    grpc.channel_ready_future(channel).result(timeout=5)
    path = "/jaeger.storage.v1.{}"
    call = lambda method: channel.unary_unary(path.format(method), PASS, PASS)
    try:
        call("PluginCapabilities/Capabilities")(b"")
    except grpc.RpcError as error:
        # What the real one takes for "none".
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise

    def write(process, spans):
        for span in spans:
            call("SpanWriterPlugin/WriteSpan")(field(1, span + field(10, process)))

    serve_admin(flags["admin.http.host-port"], "collector")
    return serve_spans(flags["collector.grpc-server.host-port"], write)


def attribute(tag):
    value = first(tag, 3).decode()
    return {"key": first(tag, 1).decode(), "value": {"stringValue": value}}


def jaeger(path):
    with open(path) as file:
        config = yaml.safe_load(file)
    note("collector", config)
    for kind, names in config["service"]["pipelines"]["traces"].items():
        for name in names:
            if name not in config[kind]:
                raise ValueError(f"{kind}: {name} is not configured")
    for name in config["service"]["extensions"]:
        if name not in config["extensions"]:
            raise ValueError(f"extensions: {name} is not configured")
    exporter = config["exporters"]["otlphttp"]

    def export(process, spans):
        attributes = {"service.name": first(process, 1).decode()}
        for number, tag in fields(process):
            if number == 2:
                said = attribute(tag)
                attributes[said["key"]] = said["value"]["stringValue"]
        # As the collector's translator does; of tags with one key the last one is left.
        if "hostname" in attributes:
            attributes["host.name"] = attributes.pop("hostname")
        pairs = [{"key": key, "value": {"stringValue": it}} for key, it in attributes.items()]
        spans = [{
            "traceId": first(span, 1).hex(),
            "spanId": first(span, 2).hex(),
            "name": first(span, 3).decode(),
        } for span in spans]
        request = {"resourceSpans": [{
            "resource": {"attributes": pairs},
            "scopeSpans": [{"spans": spans}],
        }]}
        headers = {"Content-Type": "application/json"} | exporter["headers"]
        body = json.dumps(request).encode()
        request = urllib.request.Request(exporter["traces_endpoint"], body, headers)
        urllib.request.urlopen(request, timeout=10).read()

    serve_admin(config["extensions"]["healthcheckv2"]["http"]["endpoint"], "v2")
    return serve_spans(config["receivers"]["jaeger"]["protocols"]["grpc"]["endpoint"], export)


def note(name, value):
    with open(os.path.join(os.environ["HOME"], f"calls-{name}"), "a") as file:
        file.write(json.dumps(value) + "\n")


def main():
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print("jaeger version v2.20.0")
        return 0
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    if set(flags) == {"config"}:
        _running = jaeger(flags["config"])
    elif "agent.tags" in flags:
        note("agent", flags)
        if unknown := set(flags) - AGENT_FLAGS:
            raise ValueError(f"unknown flag: --{unknown.pop()}")
        _running = agent(flags)
    else:
        note("collector", {"flags": flags, "storage": os.environ["SPAN_STORAGE_TYPE"]})
        if unknown := set(flags) - COLLECTOR_FLAGS:
            raise ValueError(f"unknown flag: --{unknown.pop()}")
        _running = collector(flags)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
