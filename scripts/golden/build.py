"""Writes a checkpoint folder the way the library saves one, then applies the variations of its spec."""

import json
import re
import shutil

import torch
import transformers as hf
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken

import decoders
import prompts
import text_tokenizers
from checkpoints import make_tokenizer
from families import FAMILIES
from weights import reinitialize

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
MODEL_CLASS = {
    **{decoder: classes[1] for decoder, classes in decoders.CLASSES.items()},
    "llava": "LlavaForConditionalGeneration",
    "instructblip": "InstructBlipForConditionalGeneration",
    "blip-2": "Blip2ForConditionalGeneration",
    **{name: family.model_class for name, family in FAMILIES.items()},
}


def build(spec, folder, make_model=None):
    """A fresh folder with config, weights, tokenizer and processor files.

    make_model(tokenizer): the model, where it is not made of the spec's fields.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if spec.source:
        _resave(spec, folder)
        return
    if published(spec):
        FAMILIES[spec.family].build(spec, folder)
        return
    tokenizer = _tokenizer(spec)
    model = make_model(tokenizer) if make_model else _model(spec, tokenizer)
    reinitialize(model, spec.seed, byte_ids(tokenizer))
    _set_generation(spec, model, tokenizer)
    model.to(getattr(torch, spec.weights)).save_pretrained(
        folder, max_shard_size=spec.shard or "1GB"
    )
    _processor(spec, tokenizer).save_pretrained(folder)
    _strip(spec, folder)
    if spec.current_names:
        _rename(folder / "model.safetensors")


def load(spec, folder):
    """(model in float32, processor) from the folder itself."""
    if published(spec):
        return FAMILIES[spec.family].load(spec, folder)
    model_class = getattr(hf, MODEL_CLASS[spec.family])
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if decoders.text_only(spec.family):
        return model, hf.AutoTokenizer.from_pretrained(folder)
    if spec.family in FAMILIES:
        return model, FAMILIES[spec.family].load_processor(folder)
    return model, hf.AutoProcessor.from_pretrained(folder)


def published(spec):
    """Whether the library has no class of the family (published.py)."""
    return spec.family in FAMILIES and FAMILIES[spec.family].model_class is None


def finish(spec, folder):
    """Variations the library itself could not read back: the goldens are made before them."""
    if spec.old_bias:
        _split_qkv_bias(folder / "model.safetensors")
    if spec.old_processor:
        (folder / "processor_config.json").unlink()


def stored_dtype(folder):
    with safe_open(sorted(folder.glob("model*.safetensors"))[0], "pt") as file:
        return file.get_slice(next(iter(file.keys()))).get_dtype()


def byte_ids(tokenizer):
    return [i for token, i in tokenizer.get_vocab().items() if re.fullmatch(r"<0x..>", token)]


def _tokenizer(spec):
    added = []
    if not decoders.text_only(spec.family):
        family = FAMILIES.get(spec.family)
        added = [getattr(family, "image_token", "<image>"), *(family.tokens_of(spec) if family else [])]
    tokenizer = bare_tokenizer(spec, added)
    if decoders.text_only(spec.family):
        tokenizer.chat_template = prompts.TEXT_TEMPLATE
    return tokenizer


def bare_tokenizer(spec, added=()):
    backend, bos, eos, unk = make_tokenizer(spec.tokenizer)
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in added])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=bos,
        eos_token=eos,
        unk_token=unk,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def _text_config(spec, tokenizer):
    decoder = spec.family if decoders.text_only(spec.family) else spec.decoder
    return decoders.config_class(decoder)(
        vocab_size=len(tokenizer) + spec.extra_rows,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **spec.text
    )


def _model(spec, tokenizer):
    text = _text_config(spec, tokenizer)
    if decoders.text_only(spec.family):
        return getattr(hf, MODEL_CLASS[spec.family])(text)
    if spec.family in FAMILIES:
        return FAMILIES[spec.family].model(spec, tokenizer, text)
    image = tokenizer.convert_tokens_to_ids("<image>")
    if spec.family == "llava":
        patches = (spec.vision["image_size"] // spec.vision["patch_size"]) ** 2
        config = hf.LlavaConfig(
            vision_config=getattr(hf, spec.tower)(**spec.vision),
            text_config=text,
            image_token_index=image,
            image_seq_length=patches,
            tie_word_embeddings=text.tie_word_embeddings,
            **spec.top
        )
        return hf.LlavaForConditionalGeneration(config)
    if spec.family == "blip-2":
        config = hf.Blip2Config(
            vision_config=hf.Blip2VisionConfig(**spec.vision).to_dict(),
            qformer_config=hf.Blip2QFormerConfig(**spec.qformer).to_dict(),
            text_config=text.to_dict(),
            image_token_index=image,
            tie_word_embeddings=text.tie_word_embeddings,
            **spec.top
        )
        return hf.Blip2ForConditionalGeneration(config)
    qformer = hf.InstructBlipQFormerConfig(vocab_size=len(text_tokenizers.qformer()), **spec.qformer)
    vision = hf.InstructBlipVisionConfig(**spec.vision)
    config = hf.InstructBlipConfig(
        vision_config=vision.to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=text.to_dict(),
        image_token_index=image,
        tie_word_embeddings=False,
        **spec.top
    )
    return hf.InstructBlipForConditionalGeneration(config)


def _set_generation(spec, model, tokenizer):
    ids = [tokenizer.convert_tokens_to_ids(token) for token in spec.eos]
    config = hf.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ids if len(ids) > 1 else ids[0],
        pad_token_id=0,
    )
    model.generation_config = config


def _processor(spec, tokenizer):
    if decoders.text_only(spec.family):
        return tokenizer
    if spec.family in FAMILIES:
        return FAMILIES[spec.family].processor(spec, tokenizer)
    side = spec.vision["image_size"]
    if spec.family in ("instructblip", "blip-2"):
        pictures = hf.BlipImageProcessor(
            size={"height": side, "width": side}, image_mean=CLIP_MEAN, image_std=CLIP_STD
        )
    if spec.family == "blip-2":
        return hf.Blip2Processor(pictures, tokenizer, spec.top["num_query_tokens"])
    if spec.family == "instructblip":
        return hf.InstructBlipProcessor(
            pictures, tokenizer, text_tokenizers.qformer(), num_query_tokens=spec.top["num_query_tokens"]
        )
    clip = spec.tower == "CLIPVisionConfig"
    if clip:
        pictures = hf.CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
    else:
        pictures = hf.SiglipImageProcessor(size={"height": side, "width": side})
    return hf.LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=spec.vision["patch_size"],
        vision_feature_select_strategy=spec.top.get("vision_feature_select_strategy", "default"),
        num_additional_image_tokens=1 if clip else 0,
        chat_template=prompts.LLAVA_TEMPLATE,
    )


def _strip(spec, folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for section, fields in spec.strip.items():
        for field in fields:
            (config[section] if section else config).pop(field, None)
    if spec.strip:
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _rename(path):
    """The tensor names a model has in memory since 4.52; save_pretrained still writes the older ones."""

    def current(name):
        if name == "language_model.lm_head.weight":
            return "lm_head.weight"
        return "model." + name.replace("language_model.model.", "language_model.")

    tensors = {current(name): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _split_qkv_bias(path):
    """The oldest files keep q_bias and v_bias instead of qkv.bias."""
    tensors = load_file(path)
    for name in [n for n in tensors if n.endswith("qkv.bias")]:
        query, _, value = tensors.pop(name).chunk(3)
        tensors[name.replace("qkv.bias", "q_bias")] = query.clone()
        tensors[name.replace("qkv.bias", "v_bias")] = value.clone()
    save_file(tensors, path, metadata={"format": "pt"})


def _resave(spec, folder):
    """The same weights, saved by the library version that runs this.

    In a new model: one that was loaded is saved under the names it was loaded from.
    """
    loaded, processor = load(spec, prompts.ROOT / spec.source)
    model = type(loaded)(loaded.config)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.to(getattr(torch, spec.weights)).save_pretrained(folder)
    processor.save_pretrained(folder)
