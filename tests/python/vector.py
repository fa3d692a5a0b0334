#!/usr/bin/env python3
"""Stands in for Vector: takes its command lines, reads its file with a real TOML parser, and does
with containers and files what guidon's components in it say.

What it was asked for is in $HOME/calls, a line each; what it has read, in $HOME/read. A file
$HOME/refuse holds the words in which `validate` refuses.
"""

import glob
import gzip
import http.client
import http.server
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import tomllib
import urllib.request

HOME = os.environ["HOME"]
# Every key that Vector 0.57 knows of the components in use, by type.
KNOWN = {
    "docker_logs": {"type", "docker_host", "exclude_containers", "log_namespace"},
    "file": {"type", "include", "read_from", "max_line_bytes", "fingerprint",
             "log_namespace"},
    "remap": {"type", "inputs", "source"},
    "http": {"type", "inputs", "uri", "method", "compression", "payload_prefix", "payload_suffix",
             "encoding", "batch", "acknowledgements", "healthcheck", "buffer", "request"},
    "stdin": {"type"},
    "console": {"type", "inputs", "encoding"},
}
LEAST_DISK_BUFFER = 268435488


def load(path):
    with open(path, "rb") as file:
        config = tomllib.load(file)
    names = set()
    for section in ("sources", "transforms", "sinks"):
        for name, component in config.get(section, {}).items():
            kind = component["type"]
            unknown = set(component) - KNOWN[kind]
            if unknown:
                raise ValueError(f"{section}.{name}: unknown field `{unknown.pop()}`")
            for needed in component.get("inputs", []):
                if needed not in names:
                    raise ValueError(f'Input "{needed}" for {section} "{name}" doesn\'t match any')
            buffer = component.get("buffer", {})
            if buffer.get("type") == "disk" and buffer["max_size"] < LEAST_DISK_BUFFER:
                raise ValueError("parameter 'max_size' is too small")
            if kind == "file" and not component["include"]:
                raise ValueError("include must not be empty")
            if kind == "http":
                json.loads(component["payload_prefix"] + "[]" + component["payload_suffix"])
            names.add(name)
    if not os.path.isdir(config["data_dir"]):
        raise ValueError(f'data_dir "{config["data_dir"]}" does not exist')
    return config


def note(name, value):
    with open(os.path.join(HOME, name), "a") as file:
        file.write(json.dumps(value) + "\n")


def validate(path):
    refusal = os.path.join(HOME, "refuse")
    if os.path.exists(refusal):
        print(open(refusal).read())
        return 78
    try:
        load(path)
    except Exception as error:
        print(f"Failed to load {path}: {error}")
        return 78
    print("Validated")
    return 0


class Docker(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def get(self, path):
        self.request("GET", path)
        return self.getresponse().read()


def attribute(key, value):
    return {"key": key, "value": {"stringValue": value}}


def resource_logs(guid, attributes, record):
    said = [attribute("guid", guid), attribute("service.instance.id", guid)] if guid else []
    resource = {"attributes": said + [attribute(*pair) for pair in attributes]}
    return {"resource": resource, "scopeLogs": [{"logRecords": [record]}]}


def container_events(config, seen):
    """Lines of containers that were not seen yet, as the transform's program turns them."""
    source = config["sources"]["guidon_containers"]
    program = config["transforms"]["guidon_container_records"]["source"]
    owner = re.search(r'^if owner != "([^"]*)" \{$', program, re.M).group(1)
    owner = re.sub(r"\\u\{([0-9a-f]+)\}", lambda it: chr(int(it.group(1), 16)), owner)
    socket_path = source["docker_host"].removeprefix("unix://")
    for summary in json.loads(Docker(socket_path).get("/containers/json")):
        name = summary["Names"][0].lstrip("/")
        if any(name.startswith(prefix) for prefix in source["exclude_containers"]):
            continue
        labels, id = summary["Labels"], summary["Id"]
        log = Docker(socket_path).get(f"/containers/{id}/logs?stdout=1&stderr=1")
        while len(log) >= 8:
            stream, length = log[0], int.from_bytes(log[4:8], "big")
            text, log = log[8:8 + length].decode().rstrip("\n"), log[8 + length:]
            if (id, stream, text) in seen:
                continue
            seen.add((id, stream, text))
            mine = labels.get("io.guidon.owner") == owner
            stream = "stderr" if stream == 2 else "stdout"
            yield resource_logs(labels.get("io.guidon.guid") if mine else "", [
                ("container.name", name),
                ("container.id", id),
                ("container.image.name", summary["Image"]),
                ("image", summary["Image"]),
            ], {
                "timeUnixNano": str(time.time_ns()),
                "observedTimeUnixNano": str(time.time_ns()),
                "severityNumber": 17 if stream == "stderr" else 9,
                "severityText": "ERROR" if stream == "stderr" else "INFO",
                "body": {"stringValue": text},
                "attributes": [attribute("log.iostream", stream)],
            })


def guid_of(program, path):
    """Runs the lines of the program that say whose a file is."""
    condition = r'if guid == "" && (?:path == "(.*)"|match\(path, r\'(.*)\'\)) \{ guid = "(.*)" \}'
    for plain, pattern, guid in re.findall(condition, program):
        if path == plain or (pattern and re.search(pattern.replace(r"\z", r"\Z"), path)):
            return guid
    return ""


def file_events(config, seen):
    program = config["transforms"]["guidon_file_records"]["source"]
    for pattern in config["sources"]["guidon_files"]["include"]:
        for path in glob.glob(pattern):
            for number, text in enumerate(open(path).read().splitlines()):
                if (path, number) in seen:
                    continue
                seen.add((path, number))
                yield resource_logs(guid_of(program, path), [("log.file.path", path)], {
                    "observedTimeUnixNano": str(time.time_ns()),
                    "body": {"stringValue": text},
                })


def post(sink, events):
    body = sink["payload_prefix"] + json.dumps(events) + sink["payload_suffix"]
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    headers |= sink.get("request", {}).get("headers", {})
    request = urllib.request.Request(sink["uri"], gzip.compress(body.encode()), headers)
    urllib.request.urlopen(request, timeout=10).read()


def run(path):
    config = load(path)
    note("read", config)

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    host, port = config["api"]["address"].rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hangups = []
    signal.signal(signal.SIGHUP, lambda *_: hangups.append(1))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    seen = set()
    while True:
        if hangups:
            hangups.clear()
            note("calls", ["SIGHUP"])
            try:
                config = load(path)
                note("read", config)
            except (OSError, ValueError, KeyError) as error:
                print(f"goes on with what it has: {error}", flush=True)
        try:
            events = list(container_events(config, seen)) + list(file_events(config, seen))
            if events:
                post(config["sinks"]["guidon_logs"], events)
        except OSError as error:
            print(error, flush=True)
        time.sleep(0.1)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print("vector 0.57.0 (x86_64-unknown-linux-gnu 0000000 2026-07-14)")
        return 0
    note("calls", arguments)
    match arguments:
        case ["validate", "--skip-healthchecks", path]:
            return validate(path)
        case ["--config", path]:
            return run(path)
    print(f"error: unexpected arguments {arguments}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
