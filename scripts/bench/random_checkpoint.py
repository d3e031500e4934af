#!/usr/bin/env python3
"""Writes a checkpoint folder with the shape of a published model and random weights.

    random_checkpoint.py SHAPE FOLDER

Speed does not depend on what the weights say, so benchmarks of models of many gigabytes need no
download. SHAPE is one of SHAPES below; weights are bfloat16, normal with deviation 0.02 (norms are
ones), made on the GPU where there is one.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

LLAMA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
LLAMA_8B = {
    **LLAMA_7B,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}
SMOLLM2_135M = {
    **LLAMA_7B,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}
CLIP_L_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
LLAVA_7B = {
    "model_type": "llava",
    "text_config": {**LLAMA_7B, "vocab_size": 32064},
    "vision_config": CLIP_L_336,
    "image_token_index": 32000,
    "projector_hidden_act": "gelu",
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
}
EVA_G = {
    "model_type": "instructblip_vision_model",
    "hidden_size": 1408,
    "intermediate_size": 6144,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
}
QFORMER = {
    "model_type": "instructblip_qformer",
    "vocab_size": 30523,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "cross_attention_frequency": 2,
    "encoder_hidden_size": 1408,
    "position_embedding_type": "absolute",
}
INSTRUCTBLIP_7B = {
    "model_type": "instructblip",
    "text_config": {**LLAMA_7B, "vocab_size": 32001},
    "vision_config": EVA_G,
    "qformer_config": QFORMER,
    "num_query_tokens": 32,
    "image_token_index": 32000,
}
SHAPES = {
    "smollm2-135m": SMOLLM2_135M,
    "llama-7b": LLAMA_7B,
    "llama-3-8b": LLAMA_8B,
    "llava-1.5-7b": LLAVA_7B,
    "instructblip-vicuna-7b": INSTRUCTBLIP_7B,
}


def skeleton(config):
    """The reference's own module on the meta device: it knows the names and shapes."""
    import transformers

    kinds = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "llava": (transformers.LlavaConfig, transformers.LlavaForConditionalGeneration),
        "instructblip": (
            transformers.InstructBlipConfig,
            transformers.InstructBlipForConditionalGeneration,
        ),
    }
    config_class, model_class = kinds[config["model_type"]]
    with torch.device("meta"):
        return model_class(config_class.from_dict(config))


def random_tensor(name, shape, device):
    if len(shape) == 1 and name.endswith("weight"):
        return torch.ones(shape, dtype=torch.bfloat16)
    return torch.randn(shape, dtype=torch.bfloat16, device=device).mul_(0.02).cpu()


def write(config, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model = skeleton(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.get("tie_word_embeddings"):
        shapes.pop("lm_head.weight", None)
    tensors = {name: random_tensor(name, shape, device) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return sum(t.nbytes for t in tensors.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    size = write(SHAPES[arguments.shape], arguments.folder)
    print(f"{arguments.folder}: {size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
