"""Files with the field sets of published checkpoints, their sizes alone made tiny: what old releases dumped into
config.json and what later ones left out, which nobody draws at random.

Written down from memory of the published config.json files, not copied from them; "<image>" stands for the id of that
token, ROWS for the rows of the embedding. What a field set leaves out counts as the library's class has it.
"""

import copy
import json

import transformers as hf

import build
from checkpoint import Checkpoint

ROWS = "rows of the embedding"
VICUNA = {
    "_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096,
    "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": ROWS,
    # tiny
    "hidden_size": 64, "intermediate_size": 72, "num_hidden_layers": 2,
}
CLIP = {
    "hidden_size": 32, "image_size": 28, "intermediate_size": 48, "model_type": "clip_vision_model",
    "num_attention_heads": 4, "num_hidden_layers": 3, "patch_size": 7, "projection_dim": 768, "vocab_size": 32000,
}
SIGLIP = {
    "hidden_size": 32, "image_size": 28, "intermediate_size": 48, "model_type": "siglip_vision_model",
    "num_attention_heads": 4, "num_hidden_layers": 3, "patch_size": 7, "vision_use_head": False,
}
LLAVA = {
    "ignore_index": -100, "image_token_index": "<image>", "projector_hidden_act": "gelu", "tie_word_embeddings": False,
    "torch_dtype": "float16", "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
}
PINPOINTS = [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]
# What `PretrainedConfig.to_dict` once wrote into every part of a config.
DUMPED = {
    "_name_or_path": "", "add_cross_attention": False, "architectures": None, "bad_words_ids": None,
    "begin_suppress_tokens": None, "chunk_size_feed_forward": 0, "cross_attention_hidden_size": None,
    "decoder_start_token_id": None, "diversity_penalty": 0.0, "do_sample": False, "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0, "exponential_decay_length_penalty": None, "finetuning_task": None,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "is_decoder": False, "is_encoder_decoder": False, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "length_penalty": 1.0,
    "max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_beams": 1,
    "num_return_sequences": 1, "output_attentions": False, "output_hidden_states": False, "output_scores": False,
    "prefix": None, "problem_type": None, "pruned_heads": {}, "remove_invalid_values": False,
    "repetition_penalty": 1.0, "return_dict": True, "return_dict_in_generate": False, "sep_token_id": None,
    "suppress_tokens": None, "task_specific_params": None, "temperature": 1.0, "tf_legacy_loss": False,
    "tie_encoder_decoder": False, "tie_word_embeddings": True, "tokenizer_class": None, "top_k": 50, "top_p": 1.0,
    "torch_dtype": None, "torchscript": False, "transformers_version": "4.31.0.dev0", "typical_p": 1.0,
    "use_bfloat16": False,
}
BLIP_VISION = DUMPED | {
    "attention_dropout": 0.0, "bos_token_id": None, "dropout": 0.0, "eos_token_id": None, "hidden_act": "gelu",
    "hidden_size": 40, "image_size": 28, "initializer_factor": 1.0, "initializer_range": 1e-10,
    "intermediate_size": 68, "layer_norm_eps": 1e-06, "num_attention_heads": 5, "num_channels": 3,
    "num_hidden_layers": 3, "pad_token_id": None, "patch_size": 14, "projection_dim": 512, "qkv_bias": True,
}
QFORMER = DUMPED | {
    "attention_probs_dropout_prob": 0.1, "bos_token_id": None, "classifier_dropout": None,
    "cross_attention_frequency": 2, "encoder_hidden_size": 40, "eos_token_id": None, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "hidden_size": 36, "initializer_range": 0.02, "intermediate_size": 52,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 3, "num_hidden_layers": 4,
    "pad_token_id": 0, "position_embedding_type": "absolute", "vocab_size": 30522,
}
BLIP = {
    "initializer_factor": 1.0, "initializer_range": 0.02, "is_encoder_decoder": False, "num_query_tokens": 4,
    "tie_word_embeddings": False, "use_decoder_only_language_model": True,
}
OPT = {
    "_remove_final_layer_norm": False, "activation_dropout": 0.0, "activation_function": "relu",
    "attention_dropout": 0.0, "bos_token_id": 2, "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2,
    "ffn_dim": 72, "hidden_size": 48, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 512,
    "model_type": "opt", "num_attention_heads": 12, "num_hidden_layers": 2, "pad_token_id": 1, "prefix": "</s>",
    "use_cache": True, "vocab_size": ROWS, "word_embed_proj_dim": 48,
}
QWEN_VL = {
    "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>", "vision_token_id": 0, "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>", "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
    "intermediate_size": 72, "max_position_embeddings": 32768, "max_window_layers": 28, "num_attention_heads": 4,
    "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
    "use_sliding_window": False, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "vocab_size": ROWS,
}
SMOL_TEXT = {
    "_attn_implementation_autoset": False, "_flash_attn_2_enabled": True, "_name_or_path": "None",
    "architectures": ["VLlama3ForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "head_dim": 16, "hidden_size": 48,
    "intermediate_size": 64, "is_llama_config": True, "max_position_embeddings": 8192, "model_type": "llama",
    "neftune_noise_alpha": 0.0, "num_attention_heads": 3, "num_hidden_layers": 2, "num_key_value_heads": 1,
    "pad_token_id": 2, "pixel_shuffle_factor": 2, "qk_layer_norms": False, "rms_norm_eps": 1e-05,
    "perceiver_config": {"attention_dropout": 0.0, "hidden_act": "silu", "model_type": "vllama3", "resampler_depth": 6},
    "rope_interleaved": False, "rope_theta": 100000, "torch_dtype": "bfloat16", "use_resampler": False,
    "vocab_size": ROWS,
}
SMOL_VISION = {
    "hidden_size": 32, "image_size": 28, "max_image_size": {"longest_edge": 28}, "model_type": "idefics3",
    "num_attention_heads": 4, "patch_size": 7, "size": {"longest_edge": 56}, "tie_word_embeddings": False,
    "use_base_siglip": True, "intermediate_size": 48, "num_hidden_layers": 2,
}
LLAMA = {
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 72, "max_position_embeddings": 131072,
    "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": ROWS,
}
QWEN = {
    "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 64,
    "initializer_range": 0.02, "intermediate_size": 72, "max_position_embeddings": 32768, "max_window_layers": 1,
    "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "use_cache": True, "use_sliding_window": False, "vocab_size": ROWS,
}
GEMMA = {
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "cache_implementation": "hybrid",
    "eos_token_id": 2, "head_dim": 16, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 48,
    "initializer_range": 0.02, "intermediate_size": 72, "num_attention_heads": 4, "num_hidden_layers": 7,
    "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": ROWS,
}
PHI = {
    "attention_bias": False, "attention_dropout": 0.0, "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
    "bos_token_id": 1, "embd_pdrop": 0.0, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 64,
    "initializer_range": 0.02, "intermediate_size": 72, "max_position_embeddings": 4096, "num_attention_heads": 4,
    "num_hidden_layers": 2, "num_key_value_heads": 4, "original_max_position_embeddings": 4096, "pad_token_id": 0,
    "resid_pdrop": 0.0, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": 2047,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": ROWS,
}
LONG = {"long_factor": [1.08, 1.11, 1.14, 1.34, 1.59, 1.64, 1.85, 2.1],
        "short_factor": [1.05, 1.05, 1.05, 1.1, 1.1, 1.15, 1.2, 1.25]}
# Which release wrote it, and the file.
SHAPES = {
    "llava-1.5": ("4.36.0.dev0", "prepend", LLAVA | {
        "model_type": "llava", "pad_token_id": 0, "text_config": VICUNA, "vision_config": CLIP, "vocab_size": ROWS}),
    "llava-1.6-mistral": ("4.39.0.dev0", "prepend", LLAVA | {
        "model_type": "llava_next", "image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True,
        "vision_config": CLIP, "vocab_size": ROWS, "text_config": {
            "_name_or_path": "mistralai/Mistral-7B-Instruct-v0.2", "architectures": ["MistralForCausalLM"],
            "intermediate_size": 72, "max_position_embeddings": 32768, "model_type": "mistral",
            "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None,
            "torch_dtype": "bfloat16", "vocab_size": ROWS, "hidden_size": 64, "num_hidden_layers": 2}}),
    "llava-1.6-vicuna": ("4.40.0.dev0", "prepend", LLAVA | {
        "model_type": "llava_next", "image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True,
        "vision_config": CLIP, "vocab_size": ROWS, "text_config": VICUNA | {"pad_token_id": 0}}),
    "llava-next-llama3": ("4.40.0.dev0", "bytes", LLAVA | {
        "model_type": "llava_next", "image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True,
        "vision_config": CLIP, "vocab_size": ROWS, "text_config": {
            "_name_or_path": "meta-llama/Meta-Llama-3-8B-Instruct", "architectures": ["LlamaForCausalLM"],
            "bos_token_id": 1, "eos_token_id": 2, "intermediate_size": 72, "max_position_embeddings": 8192,
            "model_type": "llama", "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
            "torch_dtype": "bfloat16", "vocab_size": ROWS, "hidden_size": 128, "num_hidden_layers": 2}}),
    "llava-next-video": ("4.42.0.dev0", "prepend", LLAVA | {
        "model_type": "llava_next_video", "image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True,
        "vision_config": CLIP, "video_token_index": "<video>", "spatial_pool_mode": "average",
        "spatial_pool_out_channels": 1024, "spatial_pool_stride": 2,
        "text_config": {k: v for k, v in VICUNA.items() if k != "rms_norm_eps"}}),
    "video-llava": ("4.41.0.dev0", "prepend", LLAVA | {
        "model_type": "video_llava", "image_seq_length": 256, "video_seq_length": 2056, "video_token_index": "<video>",
        "text_config": VICUNA | {"pad_token_id": 0}, "vision_config": CLIP, "vocab_size": ROWS}),
    "llava-onevision": ("4.45.0.dev0", "bytes", {
        "image_grid_pinpoints": [[28, 28], [28, 56], [56, 28], [56, 56], [84, 84]], "image_token_index": "<image>",
        "model_type": "llava_onevision", "projector_hidden_act": "gelu", "tie_word_embeddings": False,
        "torch_dtype": "float16", "use_image_newline_parameter": True, "video_token_index": "<video>",
        "vision_aspect_ratio": "anyres_max_9", "vision_config": SIGLIP, "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full", "text_config": {
            "_name_or_path": "Qwen/Qwen2-0.5B-Instruct", "architectures": ["Qwen2ForCausalLM"], "bos_token_id": 1,
            "eos_token_id": 2, "hidden_size": 64, "intermediate_size": 72, "max_window_layers": 24,
            "model_type": "qwen2", "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2,
            "rope_theta": 1000000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "vocab_size": ROWS}}),
    "instructblip-vicuna": ("4.31.0.dev0", "prepend_old_bos", BLIP | {
        "model_type": "instructblip", "qformer_config": QFORMER | {"model_type": "instructblip_qformer"},
        "vision_config": BLIP_VISION | {"model_type": "instructblip_vision_model"}, "image_token_index": "<image>",
        "text_config": DUMPED | {
            "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
            "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 72, "max_position_embeddings": 2048,
            "max_sequence_length": 2048, "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
            "pad_token_id": 0, "rms_norm_eps": 1e-06, "tie_word_embeddings": False, "use_cache": True,
            "vocab_size": ROWS}}),
    "blip2-opt": ("4.47.0.dev0", "bytes", BLIP | {
        "model_type": "blip-2", "qformer_config": QFORMER | {"model_type": "blip_2_qformer"},
        "vision_config": BLIP_VISION | {"model_type": "blip_2_vision_model"}, "image_token_index": "<image>",
        "image_text_hidden_size": 256, "text_config": DUMPED | OPT | {"architectures": ["OPTForCausalLM"]}}),
    "blip2-opt-sparse": ("4.47.0.dev0", "bytes", {
        "model_type": "blip-2", "image_token_index": "<image>", "num_query_tokens": 3, "image_text_hidden_size": 256,
        "qformer_config": {"model_type": "blip_2_qformer", "hidden_size": 36, "intermediate_size": 44,
                           "num_hidden_layers": 3, "encoder_hidden_size": 32},
        "vision_config": {"model_type": "blip_2_vision_model", "hidden_size": 32, "intermediate_size": 44,
                          "num_hidden_layers": 2},
        "text_config": {"model_type": "opt", "hidden_size": 48, "ffn_dim": 72, "num_hidden_layers": 2,
                        "word_embed_proj_dim": 48, "vocab_size": ROWS}}),
    "smolvlm-256m": ("4.57.6", "smol", {
        "architectures": ["Idefics3ForConditionalGeneration"], "image_token_id": "<image>", "model_type": "idefics3",
        "scale_factor": 2, "text_config": SMOL_TEXT, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "use_cache": True,
        "use_reentrant_checkpointing": False, "vision_config": SMOL_VISION, "vocab_size": ROWS}),
    "smolvlm2": ("4.57.6", "smol", {
        "architectures": ["SmolVLMForConditionalGeneration"], "image_token_id": "<image>", "model_type": "smolvlm",
        "pad_token_id": 0, "scale_factor": 2, "text_config": SMOL_TEXT, "tie_word_embeddings": False,
        "torch_dtype": "float32", "use_cache": False, "use_reentrant_checkpointing": False,
        "vision_config": SMOL_VISION | {
            "model_type": "smolvlm_vision",
            "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 28}}},
        "vocab_size": ROWS}),
    "idefics3-llama3": ("4.57.6", "bytes", {
        "architectures": ["Idefics3ForConditionalGeneration"], "image_token_id": "<image>", "model_type": "idefics3",
        "pad_token_id": 0, "scale_factor": 2, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "vocab_size": ROWS, "use_cache": True,
        "vision_config": {"hidden_size": 32, "image_size": 28, "intermediate_size": 48, "model_type": "idefics3",
                          "num_attention_heads": 4, "num_hidden_layers": 2, "patch_size": 7},
        "text_config": {
            "architectures": ["VLlama3ForCausalLM"], "bos_token_id": 1, "eos_token_id": [2, 3], "hidden_size": 128,
            "intermediate_size": 72, "max_position_embeddings": 131072, "model_type": "llama",
            "neftune_noise_alpha": 0.0, "num_key_value_heads": 8, "pad_token_id": 0, "qk_layer_norms": False,
            "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "use_resampler": False, "num_hidden_layers": 2,
            "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                             "original_max_position_embeddings": 64, "rope_type": "llama3"},
            "torch_dtype": "bfloat16", "vocab_size": ROWS}}),
    "idefics2": ("4.57.6", "bytes", {
        "architectures": ["Idefics2ForConditionalGeneration"], "image_token_id": "<image>", "model_type": "idefics2",
        "perceiver_config": {"model_type": "idefics2", "resampler_n_latents": 4}, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "use_cache": True,
        "text_config": {"architectures": ["MistralForCausalLM"], "hidden_size": 64, "intermediate_size": 72,
                        "max_position_embeddings": 32768, "model_type": "mistral", "num_hidden_layers": 2,
                        "pad_token_id": 0, "rms_norm_eps": 1e-05, "vocab_size": ROWS},
        "vision_config": {"hidden_size": 32, "image_size": 42, "intermediate_size": 48, "model_type": "idefics2",
                          "num_attention_heads": 4, "num_hidden_layers": 2, "patch_size": 7}}),
    "qwen2-vl": ("4.41.2", "qwen", QWEN_VL | {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl",
        "vision_config": {"depth": 2, "embed_dim": 32, "mlp_ratio": 4, "num_heads": 2, "in_chans": 3, "hidden_size": 64,
                          "patch_size": 7, "spatial_merge_size": 2, "spatial_patch_size": 7,
                          "temporal_patch_size": 2}}),
    "qwen2.5-vl": ("4.41.2", "qwen", QWEN_VL | {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
        "vision_config": {
            "depth": 2, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 44, "num_heads": 2, "in_chans": 3,
            "out_hidden_size": 64, "patch_size": 7, "spatial_merge_size": 2, "spatial_patch_size": 7, "window_size": 28,
            "fullatt_block_indexes": [1], "tokens_per_second": 2, "temporal_patch_size": 2}}),
    "phi-3-mini-4k": ("4.40.2", "prepend", PHI | {"model_type": "phi3"}),
    "phi-3-mini-128k": ("4.40.2", "prepend", PHI | {
        "model_type": "phi3", "max_position_embeddings": 4096, "original_max_position_embeddings": 64,
        "rope_scaling": LONG | {"type": "longrope"}, "sliding_window": 262144}),
    "phi-4-mini": ("4.45.0", "bytes", PHI | {
        "model_type": "phi3", "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
        "partial_rotary_factor": 0.75, "num_key_value_heads": 2, "max_position_embeddings": 4096,
        "original_max_position_embeddings": 64, "sliding_window": 262144, "tie_word_embeddings": True,
        "rope_scaling": {k: v[:6] for k, v in LONG.items()} | {"type": "longrope"}}),
    "gemma-2": ("4.42.4", "metaspace", GEMMA | {
        "model_type": "gemma2", "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "hidden_act": "gelu_pytorch_tanh", "max_position_embeddings": 8192, "rope_theta": 10000.0,
        "sliding_window": 16}),
    "gemma-3": ("4.50.0.dev0", "metaspace", GEMMA | {
        "model_type": "gemma3_text", "attn_logit_softcapping": None, "final_logit_softcapping": None,
        "max_position_embeddings": 32768, "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": 16, "sliding_window_pattern": 6}),
    "opt-125m": ("4.21.0.dev0", "bytes", OPT | {"_name_or_path": "facebook/opt-125m", "model_type": "opt",
                                                "torch_dtype": "float16"}),
    "mistral-v0.1": ("4.34.0.dev0", "prepend", {
        k: v for k, v in LLAMA.items()
        if k not in ("attention_bias", "attention_dropout", "rope_scaling", "pretraining_tp")
    } | {"model_type": "mistral", "max_position_embeddings": 32768, "rope_theta": 10000.0, "sliding_window": 16}),
    "mistral-v0.3": ("4.42.0.dev0", "prepend", {
        k: v for k, v in LLAMA.items() if k not in ("attention_bias", "rope_scaling", "pretraining_tp")
    } | {"model_type": "mistral", "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None}),
    "llama-2": ("4.31.0.dev0", "prepend", {k: v for k, v in LLAMA.items() if k not in (
        "attention_bias", "attention_dropout", "rope_theta", "num_key_value_heads")} | {
            "model_type": "llama", "max_position_embeddings": 4096, "pad_token_id": 0}),
    "llama-3.2": ("4.45.0.dev0", "bytes", LLAMA | {
        "model_type": "llama", "eos_token_id": [2, 3, 4], "head_dim": 16, "mlp_bias": False,
        "tie_word_embeddings": True,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 64, "rope_type": "llama3"}}),
    "llama-both-dialects": ("4.57.6", "prepend", LLAMA | {
        "model_type": "llama", "rope_scaling": {"type": "linear", "factor": 4.0},
        "rope_parameters": {"rope_type": "default", "rope_theta": 700.0}}),
    "tinyllama": ("4.35.0", "prepend", {k: v for k, v in LLAMA.items() if k != "attention_dropout"} | {
        "model_type": "llama", "max_position_embeddings": 2048, "rope_theta": 10000.0}),
    "qwen2.5": ("4.43.1", "bytes", QWEN | {"model_type": "qwen2"}),
    "qwen2.5-1m": ("4.47.0.dev0", "bytes", QWEN | {
        "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 16, "tie_word_embeddings": False,
        "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64, "type": "yarn"}}),
    "qwen3": ("4.51.0", "bytes", QWEN | {
        "model_type": "qwen3", "attention_bias": False, "head_dim": 24, "rope_scaling": None, "sliding_window": None,
        "max_window_layers": 28}),
    "mpt": ("4.28.1", "bytes", {
        "attn_config": {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch", "attn_pdrop": 0,
                        "attn_type": "multihead_attention", "attn_uses_sequence_id": False, "clip_qkv": None,
                        "prefix_lm": False, "qk_ln": False, "softmax_scale": None},
        "auto_map": {"AutoConfig": "configuration_mpt.MPTConfig"}, "d_model": 48, "emb_pdrop": 0,
        "embedding_fraction": 1.0, "expansion_ratio": 4, "init_device": "cpu",
        "init_config": {"emb_init_std": None, "fan_mode": "fan_in", "init_nonlinearity": "relu",
                        "name": "kaiming_normal_"},
        "learned_pos_emb": True, "logit_scale": None, "max_seq_len": 512, "model_type": "mpt", "n_heads": 6,
        "n_layers": 2, "no_bias": True, "norm_type": "low_precision_layernorm", "resid_pdrop": 0,
        "tokenizer_name": "EleutherAI/gpt-neox-20b", "torch_dtype": "bfloat16", "use_cache": False, "verbose": 0,
        "vocab_size": ROWS}),
    "pythia": ("4.24.0", "bytes", {
        "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
        "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 72, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 512, "model_type": "gpt_neox", "num_attention_heads": 4, "num_hidden_layers": 2,
        "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False, "torch_dtype": "float16",
        "use_cache": True, "use_parallel_residual": True, "vocab_size": ROWS}),
}
FIFTH = hf.__version__.startswith("5")


def draw(name):
    """(Checkpoint, config.json) of a shape; `make` makes its folder."""
    release, tokenizer, config = SHAPES[name]
    family = config["model_type"]
    text = config.get("text_config", {})
    spec = Checkpoint(name, family, None, tokenizer=tokenizer, decoder=text.get("model_type", "llama"), extra_rows=5)
    spec.eos = ("<|end|>",) if tokenizer in ("bytes", "qwen", "smol") else ("</s>",)
    vision = config.get("vision_config", {})
    spec.vision = {"image_size": 224, "patch_size": 14} | {k: v for k, v in vision.items() if k != "model_type"}
    spec.tower = "SiglipVisionConfig" if vision.get("model_type", "").startswith("siglip") else "CLIPVisionConfig"
    spec.top = {k: config[k] for k in ("num_query_tokens", "scale_factor", "vision_aspect_ratio") if k in config}
    spec.qformer = config.get("perceiver_config", {})
    spec.pictures = _pictures(family, config)
    if family == "smolvlm":
        spec.videos = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}
    if family.startswith("qwen2_"):
        spec.vision["spatial_merge_size"] = 2
    return spec, config | {"transformers_version": hf.__version__ if FIFTH else release}


def _pictures(family, config):
    if "image_grid_pinpoints" in config:
        return {"image_grid_pinpoints": config["image_grid_pinpoints"]}
    return {
        "idefics2": {"size": {"shortest_edge": 16, "longest_edge": 40}, "do_image_splitting": False},
        "idefics3": {"size": {"longest_edge": 56}},
        "smolvlm": {"size": {"longest_edge": 56}},
        "qwen2_vl": {"min_pixels": 196, "max_pixels": 196 * 12},
        "qwen2_5_vl": {"min_pixels": 196, "max_pixels": 196 * 12},
    }.get(family, {})


def make(name, folder):
    """Writes the folder; its Checkpoint."""
    spec, config = draw(name)
    model_class = getattr(hf, build.MODEL_CLASS[spec.family])

    def model(tokenizer):
        nonlocal config
        config = _filled(config, tokenizer, len(tokenizer) + spec.extra_rows)
        return model_class(model_class.config_class.from_dict(copy.deepcopy(config)))

    build.build(spec, folder, model)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return spec


def _filled(value, tokenizer, rows):
    """With ids for names of tokens."""
    if isinstance(value, dict):
        return {key: _filled(v, tokenizer, rows) for key, v in value.items()}
    if value == ROWS:
        return rows
    named = isinstance(value, str) and value.startswith("<") and value != "</s>"
    return tokenizer.convert_tokens_to_ids(value) if named else value
