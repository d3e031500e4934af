"""Writes models/saccade-eyes/: the trained tensors and every small file of the checkpoint that
does not come from the language model.

    python layout.py --language DIR                      # tokenizer and configuration only
    python layout.py --language DIR --weights stage2.pt  # and eyes.safetensors

DIR is the folder of `fetch_default_model.py --text-only`; its vocabulary names plain English words
for the question tokenizer.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file

import model
import questions

TARGET = Path(__file__).resolve().parents[2] / "models" / "saccade-eyes"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PLAIN_WORDS = 1500
IMAGE_TOKEN_ID = 49152  # the row that fetch_default_model.py adds to the language model

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face\
<|im_end|>\\n' -}}
{%- endif -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'text' -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def vocabulary(language: Path) -> list:
    """Special tokens, every printable ASCII character alone and as a continuation, the words of
    our questions, and the most frequent plain words of the language model's vocabulary."""
    asked = sorted({w for text in questions.plain_wordings()
                    for w in re.findall(r"[a-z]+", re.sub(r"{\w+}", " ", text).lower())})
    table = json.loads((language / "tokenizer.json").read_text())["model"]["vocab"]
    plain = [t[1:] for t, _ in sorted(table.items(), key=lambda item: item[1])
             if re.fullmatch("Ġ[a-z]{2,}", t)][:PLAIN_WORDS]
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    endings = ["##" + c for c in characters] + ["##s", "##es", "##ed", "##ing", "##er", "##ly",
                                                "##est", "##al", "##ion", "##tion", "##ment"]
    return list(dict.fromkeys(SPECIAL + characters + endings + asked + plain))


def question_tokenizer(language: Path) -> dict:
    words = vocabulary(language)
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, t in enumerate(SPECIAL)]
    cls, sep = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")

    def piece(kind, name, type_id):
        return {kind: {"id": name, "type_id": type_id}}
    single = [piece("SpecialToken", "[CLS]", 0), piece("Sequence", "A", 0),
              piece("SpecialToken", "[SEP]", 0)]
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": model.QFORMER["max_position_embeddings"],
                       "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single,
            "pair": single + [piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [cls], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [sep], "tokens": ["[SEP]"]}}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(words)}},
    }


def question_tokenizer_config() -> dict:
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]",
             "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return {"added_tokens_decoder": {
                str(i): {"content": t, "single_word": False, "lstrip": False, "rstrip": False,
                         "normalized": False, "special": True} for i, t in enumerate(SPECIAL)},
            **roles, "clean_up_tokenization_spaces": True, "do_lower_case": True,
            "model_max_length": model.QFORMER["max_position_embeddings"],
            "strip_accents": None, "tokenize_chinese_chars": True,
            "truncation_side": "right", "tokenizer_class": "BertTokenizer"}


def checkpoint_config(words: int) -> dict:
    """config.json; fetch_default_model.py fills in text_config."""
    vision = {**model.VISION, "hidden_act": "gelu", "qkv_bias": True, "attention_dropout": 0.0,
              "initializer_range": 0.02, "model_type": "instructblip_vision_model"}
    qformer = {**model.QFORMER, "vocab_size": words, "hidden_act": "gelu",
               "encoder_hidden_size": model.VISION["hidden_size"], "initializer_range": 0.02,
               "pad_token_id": 0, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
               "position_embedding_type": "absolute", "model_type": "instructblip_qformer"}
    return {"architectures": ["InstructBlipForConditionalGeneration"],
            "image_token_index": IMAGE_TOKEN_ID, "initializer_factor": 1.0,
            "initializer_range": 0.02, "model_type": "instructblip",
            "num_query_tokens": model.NUM_QUERIES, "qformer_config": qformer, "text_config": {},
            "tie_word_embeddings": True, "torch_dtype": "bfloat16",
            "use_decoder_only_language_model": True, "vision_config": vision}


def image_processor_config() -> dict:
    side = model.VISION["image_size"]
    return {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
            "image_mean": list(model.CLIP_MEAN), "image_processor_type": "BlipImageProcessor",
            "image_std": list(model.CLIP_STD), "processor_class": "InstructBlipProcessor",
            "resample": 3, "rescale_factor": 1 / 255, "size": {"height": side, "width": side}}


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_small_files(language: Path) -> int:
    """Returns the size of the question vocabulary. One that is there stays, weights belong to it."""
    path = TARGET / "qformer_tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text()) if path.exists() else question_tokenizer(language)
    words = len(tokenizer["model"]["vocab"])
    write_json(path, tokenizer)
    write_json(TARGET / "qformer_tokenizer" / "tokenizer_config.json", question_tokenizer_config())
    write_json(TARGET / "config.json", checkpoint_config(words))
    write_json(TARGET / "preprocessor_config.json", image_processor_config())
    write_json(TARGET / "processor_config.json", {
        "num_query_tokens": model.NUM_QUERIES,
        "processor_class": "InstructBlipProcessor"})
    (TARGET / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return words


def write_weights(path: Path, words: int) -> None:
    eyes = model.Eyes(words)
    eyes.load_state_dict(torch.load(path)["eyes"])
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in eyes.state_dict().items()}
    save_file(tensors, TARGET / "eyes.safetensors", metadata={"format": "pt"})
    (TARGET / "eyes.safetensors").chmod(0o644)
    size = (TARGET / "eyes.safetensors").stat().st_size
    print(f"{TARGET / 'eyes.safetensors'}: {len(tensors)} tensors, {size / 2**20:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--language", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    words = write_small_files(args.language)
    print(f"{TARGET}: question vocabulary of {words} pieces")
    if args.weights:
        write_weights(args.weights, words)


if __name__ == "__main__":
    main()
