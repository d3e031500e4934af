"""Checkpoint folders whose model says what a test tells it to (engine/models/scripted.cc)."""

import json

import tokenizers
import torch
from safetensors.torch import save_file

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|answer|>", "[TOOL_CALLS]"]
CHATML = (
    "{% if tools %}<|im_start|>system\nTools:{% for tool in tools %} {{ tool | tojson }}{% endfor %}"
    "{% if false %}<tool_call>{% endif %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}<|im_start|>assistant\n<|answer|>"
)
# Knows no tools. A final assistant message can be continued.
PLAIN = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}<|answer|>"
         "{% endif %}{{ message.content }}<|im_end|>\n{% endfor %}"
         "{% if add_generation_prompt %}<|im_start|>assistant\n<|answer|>{% endif %}")


def make_tokenizer(special):
    """Every byte is a token, in the order of bytes; the special ones come after them."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(sorted(alphabet))}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens([tokenizers.AddedToken(text, special=True, normalized=False) for text in special])
    return tokenizer


def make(folder, scripts, template=CHATML, special=()):
    """`scripts`: {text that stands last in the prompt: answer}; "" is the default."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer([*SPECIAL, *special])
    tokenizer.save(str(folder / "tokenizer.json"))

    def ids(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    config = {"model_type": "scripted", "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 8192,
              "eos_token_id": tokenizer.token_to_id("</s>"), "answer_token_id": tokenizer.token_to_id("<|answer|>"),
              "after": [ids(cue) for cue in scripts], "emit": [ids(answer) for answer in scripts.values()]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "eos_token": "</s>"}))
    (folder / "chat_template.jinja").write_text(template)
    save_file({"nothing": torch.zeros(1)}, str(folder / "model.safetensors"))
    return folder
