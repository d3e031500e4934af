"""scripts/convert_minigpt4.py: parts in MiniGPT-4's published layout become a folder that is served as they ran."""

import json
import re
import subprocess
import sys

import openai
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

from conftest import data_url
from server_process import GOLDEN, ROOT, Server

EYES, LLM = GOLDEN / "blip2_llama", GOLDEN / "llama_sharded"
SYSTEM = ("Give the following image: <Img>ImageContent</Img>. "
          "You will be able to see the image once I provide it to you. "
          "Please answer my questions.###")
QUESTION = "What is in the picture?"


def published(name):
    """A blip-2 tensor's name in the published files."""
    name = name.replace("vision_model.post_layernorm.", "ln_vision.")
    name = name.replace("language_projection.", "llama_proj.")
    name = re.sub(r"vision_model\.embeddings\.(class|position)_embedding",
                  lambda m: "visual_encoder." + {"class": "cls_token", "position": "pos_embed"}[m[1]], name)
    name = name.replace("vision_model.embeddings.patch_embedding.", "visual_encoder.patch_embed.proj.")
    name = name.replace("vision_model.encoder.layers.", "visual_encoder.blocks.").replace("layer_norm", "norm")
    name = name.replace("self_attn.projection", "attn.proj").replace("self_attn.", "attn.")
    name = name.replace("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm")
    name = name.replace("attention.attention.", "attention.self.")
    return re.sub(r"^qformer\.", "Qformer.bert.", name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    parts = {"checkpoint": {}, "qformer": {}, "vit": {}}
    for name, tensor in load_file(EYES / "model.safetensors").items():
        if name.startswith("language_model."):
            continue
        new = published(name)
        part = "checkpoint" if "llama_proj" in new else "vit" if new.startswith("visual_encoder") else "qformer"
        if new.endswith("attn.qkv.bias"):
            q, _, v = tensor.chunk(3)
            parts[part] |= {new.replace("qkv.bias", "q_bias"): q, new.replace("qkv.bias", "v_bias"): v}
        else:
            parts[part][new] = tensor
    # What the real files hold besides: text weights, a block too many, a classifier.
    parts["qformer"]["Qformer.bert.embeddings.word_embeddings.weight"] = torch.zeros(3, 36)
    parts["qformer"]["Qformer.bert.encoder.layer.0.output.dense.weight"] = torch.zeros(3, 3)
    parts["qformer"]["t5_proj.weight"] = torch.zeros(3, 3)
    parts["vit"]["visual_encoder.blocks.39.norm1.weight"] = torch.zeros(3)
    parts["vit"]["visual_encoder.head.weight"] = torch.zeros(3, 3)
    work = tmp_path_factory.mktemp("minigpt4")
    strip = lambda name: name.removeprefix("visual_encoder.")
    torch.save({"model": parts["checkpoint"]}, work / "minigpt4.pth")
    torch.save({"model": parts["qformer"]}, work / "blip2.pth")
    torch.save({strip(name): tensor for name, tensor in parts["vit"].items()}, work / "eva.pth")
    subprocess.run(
        [sys.executable, ROOT / "scripts/convert_minigpt4.py", "--checkpoint", work / "minigpt4.pth", "--qformer",
         work / "blip2.pth", "--vit", work / "eva.pth", "--llm", LLM, "--dtype", "float32", work / "out"], check=True)
    return work / "out"


@pytest.fixture(scope="module")
def server(folder):
    server = Server(folder)
    yield server
    assert server.stop() == 0, "\n".join(server.lines[-20:])


def test_weights_are_those_of_the_parts(folder):
    made = load_file(folder / "model.safetensors")
    eyes = {n: t for n, t in load_file(EYES / "model.safetensors").items() if not n.startswith("language_model.")}
    assert {n for n in made if not n.startswith("language_model.")} == set(eyes)
    for name, tensor in eyes.items():
        assert torch.equal(made[name], tensor.float()), name


def reference(folder):
    """(prompt ids, log-probabilities of 16 greedy tokens) as MiniGPT-4 computes them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(LLM)
    config = json.loads((folder / "config.json").read_text())
    before, after = f"{SYSTEM}Human: <Img>", f"</Img> {QUESTION}###Assistant:"
    ids = tokenizer(before).input_ids  # text is tokenised in pieces, only the first with a begin token
    ids += [config["image_token_index"]] * config["num_query_tokens"]
    ids += tokenizer(after, add_special_tokens=False).input_ids
    model = transformers.Blip2ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.vision_model.post_layernorm.eps = 1e-5
    processor = transformers.BlipImageProcessor.from_pretrained(folder)
    picture = Image.open(GOLDEN / "images/scene.png").convert("RGB")
    with torch.no_grad():
        out = model.generate(
            input_ids=torch.tensor([ids]), pixel_values=processor(picture, return_tensors="pt")["pixel_values"],
            max_new_tokens=16, do_sample=False, eos_token_id=-1, pad_token_id=0, return_dict_in_generate=True,
            output_logits=True)
    return ids, [float(row[0].log_softmax(-1).max()) for row in out.logits]


def ask(server, **fields):
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
    content = [{"type": "image_url", "image_url": {"url": data_url("images/scene.png")}},
               {"type": "text", "text": QUESTION}]
    return client.chat.completions.create(
        model="", messages=[{"role": "user", "content": content}], temperature=0, max_tokens=16, **fields)


def test_answers_are_those_of_the_reference(folder, server):
    ids, logprobs = reference(folder)
    answer = ask(server, logprobs=True, extra_body={"ignore_eos": True})
    assert answer.usage.prompt_tokens == len(ids)
    assert [e.logprob for e in answer.choices[0].logprobs.content] == pytest.approx(logprobs, abs=1e-4)


def test_an_answer_ends_at_the_next_turn(server):
    tokenizer = transformers.AutoTokenizer.from_pretrained(LLM)
    hash_sign = tokenizer.convert_tokens_to_ids("<0x23>")
    choice = ask(server, logit_bias={str(hash_sign): 100}).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("", "stop")
