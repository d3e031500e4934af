"""Drives media_tool, the C++ media library behind a pipe. See media_tool.cc for the protocol."""

import json
import os
import pathlib
import struct
import subprocess

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]


def tool_path() -> pathlib.Path:
    """SACCADE_BUILD_DIR names the build folder (default: build/ of this checkout)."""
    build = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", REPOSITORY / "build"))
    return build / "bin" / "media_tool"


class MediaError(Exception):
    """What the C++ side refused, with its message."""


class MediaTool:
    def __init__(self):
        self.child = subprocess.Popen([tool_path()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> int:
        self.child.stdin.close()
        return self.child.wait(timeout=60)

    def _read(self, size: int) -> bytes:
        data = self.child.stdout.read(size)
        assert len(data) == size, f"media_tool died (exit status {self.child.wait()})"
        return data

    def call(self, operation: str, *arguments) -> bytes:
        request = [operation.encode(), struct.pack("<I", len(arguments))]
        for argument in arguments:
            argument = argument.encode() if isinstance(argument, str) else bytes(argument)
            request += [struct.pack("<I", len(argument)), argument]
        self.child.stdin.write(b"".join(request))
        self.child.stdin.flush()
        ok, length = struct.unpack("<BI", self._read(5))
        answer = self._read(length)
        if not ok:
            raise MediaError(answer.decode())
        return answer

    def decode_url(self, url: str) -> bytes:
        return self.call("u", url)

    def probe(self, file: bytes) -> dict:
        return json.loads(self.call("p", file))

    def decode(self, file: bytes) -> np.ndarray:
        answer = self.call("d", file)
        height, width = struct.unpack("<II", answer[:8])
        return np.frombuffer(answer[8:], np.uint8).reshape(height, width, 3)

    def resize(self, image: np.ndarray, width: int, height: int, filter: int, portable=False):
        numbers = struct.pack(
            "<6I", image.shape[1], image.shape[0], width, height, filter, int(portable)
        )
        answer = self.call("r", numbers, np.ascontiguousarray(image).tobytes())
        return np.frombuffer(answer, np.uint8).reshape(height, width, 3)

    def process_sized(self, folder, image: np.ndarray, use: str = "") -> list:
        """Parts of any size, each [3, height, width]. use: "low" for that detail, "many" for one of several
        pictures."""
        size = struct.pack("<II", image.shape[1], image.shape[0])
        answer = self.call("i", str(folder), size, np.ascontiguousarray(image).tobytes(), use)
        count = struct.unpack("<I", answer[:4])[0]
        sizes = np.frombuffer(answer[4 : 4 + 8 * count], np.uint32).reshape(count, 2).tolist()
        values, parts = np.frombuffer(answer[4 + 8 * count :], np.float32), []
        for height, width in sizes:
            part, values = values[: 3 * height * width], values[3 * height * width :]
            parts.append(part.reshape(3, height, width))
        assert len(values) == 0
        return parts

    def process_parts(self, folder, image: np.ndarray, use: str = "") -> np.ndarray:
        """[parts, 3, height, width]"""
        return np.stack(self.process_sized(folder, image, use))

    def process(self, folder, image: np.ndarray) -> np.ndarray:
        parts = self.process_parts(folder, image)
        assert len(parts) == 1
        return parts[0]

    def layout(self, folder, width: int, height: int) -> tuple:
        """(height and width of a part, parts, rows, columns)"""
        return struct.unpack("<5I", self.call("s", str(folder), struct.pack("<II", width, height)))

    def processed_size(self, folder, width: int, height: int) -> tuple:
        return self.layout(folder, width, height)[:2]

    def peak_memory(self) -> int:
        """The most bytes the tool ever held (VmHWM); 0 under AddressSanitizer, which hoards."""
        if b"__asan_init" in tool_path().read_bytes():
            return 0
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
