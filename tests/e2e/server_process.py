"""Starts the real binary and talks to it."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
BINARY = os.environ.get("SACCADE_BINARY", str(ROOT / "build" / "bin" / "saccade"))


def golden(name):
    return json.loads((GOLDEN / name / "golden.json").read_text())


def run(*args, **kwargs):
    """Runs the binary to its end."""
    timeout = kwargs.pop("timeout", 60)
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=timeout, **kwargs)


class Server:
    def __init__(self, model, *args, env=None, seed=1):
        """`seed`: of the answers whose request has none, so that a test sees the same ones in every run; None:
        random."""
        self.lines = []
        self.ready = threading.Event()
        command = [BINARY, "serve", str(GOLDEN / model), "--port", "0", "--device", "cpu", "--dtype", "float32",
                   "--threads", "1", *([] if seed is None else ["--seed", str(seed)]), *map(str, args)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})
        self.port = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        assert self.ready.wait(60) and self.port, "did not start:\n" + "\n".join(self.lines)

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            found = re.search(r"listening on http://[^ ]*:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                self.ready.set()
        self.ready.set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, **kwargs):
        return httpx.Client(base_url=self.url, timeout=30, **kwargs)

    def post(self, path, body, **kwargs):
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return httpx.post(self.url + path, content=content, timeout=30, **kwargs)

    def get(self, path, **kwargs):
        return httpx.get(self.url + path, timeout=30, **kwargs)

    def chat(self, content, **fields):
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], **fields})

    def events(self, path, body):
        """The data of every event of a stream."""
        with httpx.stream("POST", self.url + path, json=body, timeout=30) as response:
            assert response.status_code == 200, response.read()
            assert response.headers["content-type"].startswith("text/event-stream")
            return [line[6:] for line in response.iter_lines() if line.startswith("data: ")]

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels."""
        total, found = 0.0, False
        for line in self.get("/metrics").text.splitlines():
            match = re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line)
            if match and match[1] == name and all(f'{k}="{v}"' in (match[2] or "") for k, v in labels.items()):
                total, found = total + float(match[3]), True
        assert found, name
        return total

    def wait_idle(self, seconds=5):
        """Until nothing runs or waits and every KV block is free of a sequence."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric("saccade_num_requests_running") == 0 and self.metric("saccade_num_requests_waiting") == 0:
                return True
            time.sleep(0.02)
        return False

    def connect(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        finally:
            self.process.kill()
            self.reader.join(5)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def request_bytes(path, body, headers=""):
    payload = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(payload)}\r\n\r\n").encode() + payload


def read_all(connection):
    data = b""
    while True:
        try:
            block = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not block:
            return data
        data += block
