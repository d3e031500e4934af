"""What real folders say in other words: one saved checkpoint, its JSON files varied at random.

Everything here is legal for the library; what a variation means it decides itself, when it loads the folder again.
"""

import json

import transformers as hf
from tokenizers import AddedToken

import decoders
from random_prompts import VIDEOS

# Chat templates in the style of published text checkpoints. %s: nothing, or the begin token.
TEXT_TEMPLATES = (
    # ChatML
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # Llama 3
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    # Mistral
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] }}{% else %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
    # Zephyr, TinyLlama
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\\n'  + message['content'] + eos_token }}\n"
    "{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    # Gemma
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
)
# And of those with pictures.
PICTURE_TEMPLATES = (
    # Mistral of LLaVA-NeXT
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}"
    "{{ ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}{% endif %}"
    "{% endfor %}",
    # ChatML of LLaVA-Interleave and of the 34b
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ '\\n' + content['text'] }}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # parts in the order they were sent
    "{% for message in messages %}{{ message['role'] + ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}",
)
FIFTH = hf.__version__.startswith("5")  # saves no files of slow tokenizers
DEFAULTED = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb", "resample", "rescale_factor")
DEFAULTED += ("image_mean", "image_std")
SINGLE = ("CLIPImageProcessor", "SiglipImageProcessor", "BlipImageProcessor")
# 4.57's joined processors read theirs from the folder; the others here have a template of their own.
FREE_TEMPLATE = ("llava", "llava_next", "idefics2")


def vary(rng, spec, folder):
    _vary_tokenizer(rng, spec, folder)
    _vary_template(rng, spec, folder)
    _vary_pictures(rng, spec, folder)
    _vary_config(rng, spec, folder)


def _edit(path, change):
    if path.exists():
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


# ---- config.json


def _vary_config(rng, spec, folder):
    def change(config):
        if rng.maybe(0.4):
            _leave_defaults_out(config)
            for name in ("text_config", "vision_config", "qformer_config", "perceiver_config"):
                if isinstance(config.get(name), dict):
                    _leave_defaults_out(config[name])
        if "llava" in spec.family and "image_token_index" in config and rng.maybe(0.3):
            config["image_token_id"] = config.pop("image_token_index")
        if "dtype" in config and rng.maybe():
            config["torch_dtype"] = config.pop("dtype")
        if rng.maybe(0.2):
            config.pop("architectures", None)
        if "text_config" in config and rng.maybe(0.2) and not FIFTH:  # text_config's own counts
            config["tie_word_embeddings"] = rng.maybe()

    _edit(folder / "config.json", change)
    ends = [i for i in _tokens(folder, spec.eos) if i is not None]
    if rng.maybe(0.2) and ends:  # they stand in config.json alone
        (folder / "generation_config.json").unlink(missing_ok=True)
        one = ends if rng.maybe() else ends[0]

        def end(config):
            place = config.get("text_config", config)
            place["eos_token_id"] = one
            if "text_config" in config:
                config["eos_token_id"] = one

        _edit(folder / "config.json", end)


def _tokens(folder, names):
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    return [tokenizer.convert_tokens_to_ids(name) for name in names]


def _leave_defaults_out(config):
    kind = config.get("model_type")
    if kind is None:
        return
    try:
        defaults = hf.AutoConfig.for_model(kind).to_dict()
    except ValueError:
        return
    for key in list(config):
        same = key in defaults and defaults[key] == config[key]
        if same and not isinstance(config[key], dict) and key not in ("model_type", "transformers_version"):
            del config[key]


# ---- tokenizer and template


def _vary_tokenizer(rng, spec, folder):
    if rng.maybe(0.3) and spec.extra_rows >= 7:
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        flags = lambda: {k: rng.maybe(0.4) for k in ("lstrip", "rstrip", "single_word", "normalized")}
        texts = ("[REF]", "blue", "\u2581deep\u2581", "TOOL")
        tokenizer.add_tokens([AddedToken(t, **flags()) for t in texts])
        tokenizer.save_pretrained(folder)
    if rng.maybe(0.2):
        _change_token(folder, "<image>", {"special": False} | rng.some(normalized=True, rstrip=True))
    if spec.tokenizer in ("bytes", "qwen", "smol") and rng.maybe(0.25) and not FIFTH:
        _use_slow_files(rng, folder)
    if spec.tokenizer not in ("prepend", "metaspace") or spec.family in ("idefics",):
        return

    def change(config):
        if rng.maybe():
            config["tokenizer_class"] = rng.one("LlamaTokenizer", "LlamaTokenizerFast")
            config |= {"add_bos_token": rng.maybe(0.7), "add_eos_token": rng.maybe(0.2)}
            config |= {"legacy": rng.maybe()}
        elif rng.maybe(0.3):
            config["add_prefix_space"] = rng.maybe()

    if spec.family in decoders.CLASSES or spec.family.startswith("llava"):
        _edit(folder / "tokenizer_config.json", change)


def _use_slow_files(rng, folder):
    """vocab.json and merges.txt in place of tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n")
    (folder / "tokenizer.json").unlink()
    kind, add_bos = rng.one("GPT2Tokenizer", "Qwen2Tokenizer"), rng.maybe()

    def change(config):
        # Classes with a begin token of their own would add one more token.
        config.setdefault("unk_token", config["eos_token"])
        config.setdefault("pad_token", config["eos_token"])
        config |= {"tokenizer_class": kind, "add_bos_token": add_bos and bool(config.get("bos_token"))}

    _edit(folder / "tokenizer_config.json", change)


def _change_token(folder, text, flags):
    """Other flags for an added token, in both files that list it."""

    def change(tokenizer):
        listed = tokenizer.get("added_tokens") or tokenizer.get("added_tokens_decoder", {}).values()
        for token in listed:
            if token["content"] == text:
                token |= flags

    _edit(folder / "tokenizer.json", change)
    _edit(folder / "tokenizer_config.json", change)


def _vary_template(rng, spec, folder):
    text_only = decoders.text_only(spec.family)
    if not text_only and spec.family not in FREE_TEMPLATE:
        return
    path = folder / "chat_template.jinja"
    if rng.maybe(0.6):
        path.write_text(rng.choice(TEXT_TEMPLATES if text_only else PICTURE_TEMPLATES))
    if rng.maybe(0.5) and path.exists():
        template = path.read_text()
        if text_only:
            named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
            value = rng.one(template, named)
            _edit(folder / "tokenizer_config.json", lambda c: c.update(chat_template=value))
        else:
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
        path.unlink()


# ---- the picture processor


def _vary_pictures(rng, spec, folder):
    if spec.family in (*VIDEOS, "instructblipvideo"):  # their stand-ins (README.md) know the fields of their own alone
        return
    _edit(folder / "preprocessor_config.json", lambda config: _change_pictures(rng, spec, config))
    if FIFTH:
        nested = lambda config: _change_pictures(rng, spec, config["image_processor"])
        _edit(folder / "processor_config.json", nested)


def _change_pictures(rng, spec, config):
    kind = config.get("image_processor_type", "").removesuffix("Fast")
    mean = [round(rng.uniform(0.2, 0.6), 3) for _ in range(3)]
    config |= rng.some(
        0.25,
        do_rescale=rng.maybe(),
        do_normalize=rng.maybe(),
        rescale_factor=rng.one(1 / 255, 1 / 127.5, 0.01),
        resample=rng.one(0, 1, 2, 3, 4, 5),
        image_mean=mean,
        image_std=[round(rng.uniform(0.1, 0.6), 3) for _ in range(3)],
        do_convert_rgb=True,
    )
    if kind in ("SmolVLMImageProcessor", "Idefics3ImageProcessor"):
        config["resample"] = rng.one(1, config["resample"])
    side = spec.vision.get("image_size")
    square = {"height": side, "width": side}
    if kind == "CLIPImageProcessor" and spec.family == "llava":
        config["crop_size"] = rng.one(square, square, side)
        other = rng.one(side - 3, side + 5, 2 * side)
        config["size"] = rng.one({"shortest_edge": side}, {"shortest_edge": other}, side, other)
        if rng.maybe(0.2):
            config |= {"size": square, "do_center_crop": rng.maybe()}
        elif rng.maybe(0.2):
            config["do_resize"] = False
    elif kind in SINGLE and rng.maybe(0.3):
        config["size"] = side if kind == "BlipImageProcessor" else square
    if kind == "LlavaNextImageProcessor":
        config["size"] = rng.one({"shortest_edge": side}, square, side)
        config["crop_size"] = rng.one(square, side)
    if rng.maybe(0.3):  # then the class's own
        for name in DEFAULTED:
            if rng.maybe():
                config.pop(name, None)
    if rng.maybe(0.2) and "image_processor_type" in config:
        config["image_processor_type"] = kind + "Fast"
