"""Rows of the table of hostile checkpoints, and the ways to damage one file: each returns a function of the folder."""

import dataclasses
import json
import os
import shutil
import struct
from typing import Callable

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclasses.dataclass
class Broken:
    name: str
    base: str
    file: str
    fields: tuple
    mutate: Callable
    part: str
    loads: bool = False  # odd, but no error: inspect must name the fields


def weights_row(name, mutate, *fields, base="llama_tied", file=WEIGHTS, loads=False):
    return Broken("weights_" + name, base, file, fields, mutate, "weights", loads)


def config_row(name, mutate, *fields, base="llama_tied", file="config.json"):
    return Broken("config_" + name, base, file, fields, mutate, "config")


def tokenizer_row(name, mutate, *fields, base="llama_tied", file="tokenizer.json"):
    return Broken("tokenizer_" + name, base, file, fields, mutate, "tokenizer")


def processor_row(name, mutate, *fields, base="llava", file="preprocessor_config.json"):
    return Broken("processor_" + name, base, file, fields, mutate, "processor")


def read_weights(folder, name=WEIGHTS):
    """(header as a dict, data bytes)."""
    raw = (folder / name).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_weights(folder, header, data, name=WEIGHTS):
    """header: a dict or the bytes to stand there."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def header(change):
    """change(header, data) edits the dict in place, or returns (header or bytes, data)."""

    def mutate(folder):
        entries, data = read_weights(folder)
        write_weights(folder, *(change(entries, data) or (entries, data)))

    return mutate


def entry(name, **fields):
    """Sets fields of one tensor's header entry; None removes the field."""

    def change(entries, _data):
        for key, value in fields.items():
            if value is None:
                del entries[name][key]
            else:
                entries[name][key] = value

    return header(change)


def raw(name, change):
    """change(bytes) -> bytes of the whole file."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def text(name, content):
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def remove(name):
    def mutate(folder):
        path = folder / name
        if path.is_dir():
            for child in path.iterdir():
                child.unlink()
            path.rmdir()
        else:
            path.unlink()

    return mutate


def replaced(name, make):
    """make(path) puts something else in the place of the file."""

    def mutate(folder):
        path = folder / name
        path.unlink(missing_ok=True)
        make(path)

    return mutate


def pipe(name):
    """Opening it for reading would wait for a writer."""
    return replaced(name, os.mkfifo)


def link(name, target):
    return replaced(name, lambda path: path.symlink_to(target))


class Literal(str):
    """A JSON literal json.dumps would not write, such as NaN or 1e999."""


MISSING = object()


def field(name, path, value):
    """Sets the field at a dotted path of a JSON file; MISSING removes it."""

    def mutate(folder):
        document = json.loads((folder / name).read_text())
        *parents, last = path.split(".")
        place = document
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        key = int(last) if isinstance(place, list) else last
        if value is MISSING:
            del place[key]
        else:
            place[key] = "@literal@" if isinstance(value, Literal) else value
        out = json.dumps(document)
        (folder / name).write_text(
            out.replace('"@literal@"', str(value)) if isinstance(value, Literal) else out
        )

    return mutate


def config(path, value):
    return field("config.json", path, value)


def overlap(first, second):
    """The second tensor's bytes are the first one's (they have the same size)."""

    def change(entries, _data):
        entries[second]["data_offsets"] = entries[first]["data_offsets"]

    return header(change)


def drop_tensor(name):
    """Removes a tensor and its bytes, keeping the file itself well formed."""

    def change(entries, data):
        begin, end = entries.pop(name)["data_offsets"]
        for value in entries.values():
            if "data_offsets" in value and value["data_offsets"][0] >= end:
                value["data_offsets"] = [o - (end - begin) for o in value["data_offsets"]]
        return entries, data[:begin] + data[end:]

    return header(change)


def add_tensor(name, shape, dtype="F32"):
    def change(entries, data):
        size = 4
        for side in shape:
            size *= side
        entries[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + size],
        }
        return entries, data + bytes(size)

    return header(change)


def repeated_key(name):
    """The header names one tensor twice."""

    def change(entries, data):
        again = json.dumps({name: entries[name]})[1:]
        return (json.dumps(entries)[:-1] + "," + again).encode(), data

    return header(change)


def point_outside(name):
    """The index leads to a readable file beside the checkpoint folder."""

    def mutate(folder):
        index = json.loads((folder / INDEX).read_text())
        shutil.copy(folder / index["weight_map"][name], folder.parent / "outside.safetensors")
        index["weight_map"][name] = "../outside.safetensors"
        (folder / INDEX).write_text(json.dumps(index))

    return mutate


def nested(depth):
    return "[" * depth + "]" * depth


def nested_objects(depth):
    return '{"a":' * depth + "1" + "}" * depth
