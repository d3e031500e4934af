"""The clients of scripts/examples, with a model that plays its part."""

import subprocess
import sys

import scripted
from server_process import ROOT, Server


def run(name, server, question):
    done = subprocess.run([sys.executable, ROOT / "scripts" / "examples" / name, server.url + "/v1", question],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tool_runner(tmp_path):
    call = '<tool_call>{"name": "multiply", "arguments": {"a": 12, "b": 13}}</tool_call>'
    server = Server(scripted.make(tmp_path, {"What is": call, "156": "It is 156."}))
    assert run("tool_runner.py", server, "What is 12 times 13?") == "It is 156."
    assert server.stop() == 0


def test_react(tmp_path):
    # What the client puts in stands where the model would have said it.
    text = ("Thought: compare.\nAction: lookup[Main]\nObservation: 525 km\nThought: and the other.\n"
            "Action: lookup[Rhine]\nObservation: 1233 km\nThought: done.\nFinal Answer: the Rhine")
    server = Server(scripted.make(tmp_path, {"": text}, scripted.PLAIN))
    assert run("react.py", server, "Which is larger, the Main or the Rhine?") == "the Rhine"
    assert server.stop() == 0


def test_toolformer(tmp_path):
    text = "Out of 1400 participants, 400 (or [Calculator(400 / 1400) -> 0.29] 29 %) passed."
    server = Server(scripted.make(tmp_path, {"": text}))
    assert run("toolformer.py", server, text[:33]) == text
    assert server.stop() == 0
