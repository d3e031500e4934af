"""GGUF files: the same answers as the reference on the same numbers, and as a folder that holds them."""

import json
import shutil
import subprocess
import sys

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from server_process import BINARY, GOLDEN, ROOT, Server

sys.path.insert(0, str(ROOT / "scripts"))
from fetch_default_model import find_gguf  # noqa: E402

CONFIG = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "vocab_size": 288, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
          "rope_theta": 10000.0, "tie_word_embeddings": True}
PROMPT = [3, 17, 250, 99, 41, 5, 200, 123, 77]
TYPES = gguf.GGMLQuantizationType
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf_name(name):
    if name.startswith("model.layers."):
        layer, rest = name.removeprefix("model.layers.").split(".", 1)
        return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def neighbours(rows, heads):
    """q and k as such files hold them: dimension i beside i + half a head."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def halves(rows, heads):
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def to_blocks(values, kind, random):
    """The values in blocks of `kind`; the K formats, which the library cannot write, hold random numbers of
    about the same size."""
    if kind in (TYPES.F32, TYPES.F16):
        return values.astype(np.float32 if kind == TYPES.F32 else np.float16)
    if kind not in (TYPES.Q4_K, TYPES.Q5_K, TYPES.Q6_K):
        return gguf.quantize(values, kind)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (values.size // elements, size), dtype=np.uint8)
    scale = np.full((len(blocks), 1), 0.0000625 if kind == TYPES.Q6_K else 0.0004, np.float16).view(np.uint8)
    if kind == TYPES.Q6_K:
        blocks[:, -2:] = scale
    else:  # an offset of half the range keeps the mean near zero
        blocks[:, 0:2], blocks[:, 2:4] = scale, (scale.view(np.float16) * (8 if kind == TYPES.Q4_K else 16)).view(
            np.uint8)
    return blocks.reshape(values.shape[0], -1)


def write_model(folder, kind):
    """The GGUF file, and a Hugging Face folder of the numbers it holds."""
    random = np.random.default_rng(5)
    torch.manual_seed(5)
    reference = LlamaForCausalLM(LlamaConfig(**CONFIG))
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    writer.add_context_length(CONFIG["max_position_embeddings"])
    writer.add_embedding_length(CONFIG["hidden_size"])
    writer.add_block_count(CONFIG["num_hidden_layers"])
    writer.add_feed_forward_length(CONFIG["intermediate_size"])
    writer.add_head_count(CONFIG["num_attention_heads"])
    writer.add_head_count_kv(CONFIG["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    add_tokenizer(writer)
    held = {}
    for name, tensor in reference.state_dict().items():
        if name == "lm_head.weight":
            continue
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        values = (random.standard_normal(tensor.shape) / np.sqrt(tensor.shape[-1])).astype(np.float32)
        if tensor.dim() == 1:
            held[name] = 1 + values
            writer.add_tensor(gguf_name(name), held[name])
            continue
        stored = to_blocks(neighbours(values, heads) if heads else values, kind, random)
        writer.add_tensor(gguf_name(name), stored, raw_dtype=kind)
        back = gguf.dequantize(stored.view(np.uint8) if kind not in (TYPES.F32, TYPES.F16) else stored, kind)
        back = back.reshape(values.shape).astype(np.float32)
        held[name] = np.ascontiguousarray(halves(back, heads) if heads else back)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = {name: torch.from_numpy(values) for name, values in held.items()}
    reference.load_state_dict({**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"]})
    hf = folder / "hf"
    hf.mkdir()
    save_file(tensors, hf / "model.safetensors", metadata={"format": "pt"})
    (hf / "config.json").write_text(json.dumps({"model_type": "llama", **CONFIG}))
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / "llama_bias" / file, hf / file)
    return folder / "tiny.gguf", hf, reference.eval()


def add_tokenizer(writer):
    vocabulary = json.loads((GOLDEN / "llama_bias" / "tokenizer.json").read_text())["model"]
    tokens = [token for token, _ in sorted(vocabulary["vocab"].items(), key=lambda item: item[1])]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in vocabulary["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(merges)


def greedy(reference, given=None, count=8):
    """(ids, log-probabilities) of the reference: its own, or of the ids given."""
    ids, logprobs = list(PROMPT), []
    with torch.no_grad():
        for i in range(count):
            step = torch.log_softmax(reference(torch.tensor([ids])).logits[0, -1].double(), -1)
            ids.append(int(given[i] if given else step.argmax()))
            logprobs.append(float(step[ids[-1]]))
    return ids[len(PROMPT):], logprobs


def answer(model, *options):
    server = Server(model, *options)
    try:
        got = server.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "logprobs": 1,
                                              "ignore_eos": True, "return_token_ids": True}).json()
    finally:
        assert server.stop() == 0
    choice = got["choices"][0]
    return choice["token_ids"], choice["logprobs"]["token_logprobs"]


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q5_1", "Q4_0", "Q4_K", "Q5_K", "Q6_K"])
def test_the_numbers_of_a_file_equal_the_reference(kind, tmp_path):
    """Unpacked to float32, each format gives the reference's ids and log-probabilities."""
    file, _, reference = write_model(tmp_path, TYPES[kind])
    ids, logprobs = greedy(reference)
    got_ids, got_logprobs = answer(file, "--quantization", "none")
    assert got_ids == ids
    assert got_logprobs == pytest.approx(logprobs, abs=1e-4)


def test_integers_are_used_as_they_stand(tmp_path):
    """Bit for bit what int8 makes of the same numbers in a folder: nothing was rounded anew."""
    file, folder, _ = write_model(tmp_path, TYPES.Q8_0)
    assert answer(file) == answer(folder, "--quantization", "int8")


@pytest.mark.parametrize("kind", ["Q4_1", "Q4_0", "Q4_K", "Q5_0", "Q6_K"])
def test_integers_of_a_file_come_close_to_its_numbers(kind, tmp_path):
    """Inputs are rounded to int8 then, so the answer is close to the unpacked one's, not equal."""
    file, _, reference = write_model(tmp_path, TYPES[kind])
    got = answer(file)
    _, logprobs = greedy(reference, given=got[0])
    assert got[1] == pytest.approx(logprobs, abs=0.15)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """(the package's Q4_1 file, a folder that scripts/fetch_default_model.py made of it)"""
    folder = tmp_path_factory.mktemp("smollm2") / "hf"
    subprocess.run([ROOT / ".venv/bin/python", ROOT / "scripts/fetch_default_model.py", "--text-only", "--output",
                    folder], check=True, capture_output=True)
    return find_gguf(), folder


def test_a_published_file_is_served(smollm2):
    """SmolLM2's file as it was published: tokenizer and template as in the folder, and a right answer."""
    texts = ["Hello  world\n\n\tx = 1234;", "naïve 東京 🙂", "<|im_start|>user", "it's we'll 3.14 don't"]
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    file, folder = smollm2
    counts = []
    for model in (file, folder):
        server = Server(model, "--kv-cache-memory", 64 << 20, "--quantization", "none")
        try:
            ids = [server.post("/tokenize", {"prompt": text, "add_special_tokens": special}).json()["tokens"]
                   for text in texts for special in (False, True)]
            ids.append(server.post("/tokenize", {"messages": chat}).json()["tokens"])
            said = server.post("/v1/chat/completions", {"messages": chat, "temperature": 0, "max_tokens": 12}).json()
            assert "Paris" in said["choices"][0]["message"]["content"]
            counts.append(ids)
        finally:
            assert server.stop() == 0
    assert counts[0] == counts[1]


def test_inspect_names_what_a_file_holds(smollm2):
    done = subprocess.run([BINARY, "inspect", smollm2[0]], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "family: llama" in done.stdout and "missing tensors: none" in done.stdout
    assert "unused tensors: none" in done.stdout
