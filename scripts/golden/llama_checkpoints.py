"""LLaMA alone: dialects, tokenizers, ropes."""

import cases
from checkpoint import GQA, SMALL, Checkpoint, rope_text


def checkpoints():
    text = lambda shift: lambda: cases.few_text_cases(shift)
    rope = cases.rope_cases
    return [
        Checkpoint(
            "llama_gqa",
            "llama",
            cases.text_cases,
            GQA,
            tokenizer="prepend",
            eos=("</s>", "<|im_end|>"),
            full=(0,),
        ),
        Checkpoint(
            "llama_tied",
            "llama",
            text(1),
            dict(SMALL, tie_word_embeddings=True),
            tokenizer="metaspace",
        ),
        Checkpoint(
            "llama_bias",
            "llama",
            text(3),
            dict(SMALL, attention_bias=True, mlp_bias=True),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint("llama_sharded", "llama", text(5), SMALL, shard="60KB"),
        Checkpoint(
            "llama_bf16", "llama", text(7), SMALL, tokenizer="metaspace", weights="bfloat16"
        ),
        Checkpoint(
            "llama_fp16",
            "llama",
            text(9),
            SMALL,
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        Checkpoint(
            "llama_linear",
            "llama",
            rope,
            rope_text({"rope_type": "linear", "factor": 2.5}),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint(
            "llama_dynamic",
            "llama",
            rope,
            rope_text({"rope_type": "dynamic", "factor": 4.0}, max_position_embeddings=32),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        Checkpoint(
            "llama_llama3",
            "llama",
            rope,
            rope_text(
                {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 48,
                }
            ),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint(
            "llama_yarn",
            "llama",
            rope,
            rope_text(
                {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "beta_fast": 2.0,
                    "beta_slow": 1.0,
                    "original_max_position_embeddings": 48,
                }
            ),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        # Query width 60 from hidden 32, one key head, three rows that no token has.
        Checkpoint(
            "llama_head_dim",
            "llama",
            text(2),
            dict(SMALL, num_attention_heads=5, num_key_value_heads=1, head_dim=12),
            extra_rows=3,
            weights="bfloat16",
        ),
        # Every field at its class default is missing from the file, head_dim and the key heads too.
        Checkpoint(
            "llama_sparse",
            "llama",
            text(6),
            dict(SMALL, num_key_value_heads=4),
            tokenizer="metaspace",
            weights="float16",
            strip={
                "": [
                    "head_dim",
                    "num_key_value_heads",
                    "rms_norm_eps",
                    "rope_theta",
                    "rope_scaling",
                    "hidden_act",
                    "attention_bias",
                    "mlp_bias",
                    "tie_word_embeddings",
                    "bos_token_id",
                    "eos_token_id",
                ]
            },
        ),
    ]
