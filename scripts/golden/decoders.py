"""The decoders: their classes in the library, and the tiny text checkpoints of each."""

import transformers as hf

import cases

# model_type -> (config class, model class)
CLASSES = {
    "llama": ("LlamaConfig", "LlamaForCausalLM"),
    "mistral": ("MistralConfig", "MistralForCausalLM"),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM"),
    "phi3": ("Phi3Config", "Phi3ForCausalLM"),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM"),
    "gemma3_text": ("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "opt": ("OPTConfig", "OPTForCausalLM"),
    "mpt": ("MptConfig", "MptForCausalLM"),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM"),
}


def text_only(family):
    """Whether the checkpoint is a decoder without eyes; its family is the decoder's model_type then."""
    return family in CLASSES


def config_class(decoder):
    return getattr(hf, CLASSES[decoder][0])


# Windows are short, soft caps low and scales unlike the usual ones, so that each reaches the logits.
BASE = dict(
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-6,
)
MISTRAL = dict(BASE, head_dim=10, sliding_window=9)
QWEN2 = dict(BASE, rope_theta=1e6)
QWEN3 = dict(BASE, head_dim=12, num_attention_heads=6, rope_theta=1e6)
PHI3 = dict(BASE, partial_rotary_factor=0.5, pad_token_id=0)
GEMMA = dict(
    BASE, head_dim=12, query_pre_attn_scalar=7, sliding_window=8, final_logit_softcapping=2.5
)
OPT = dict(
    hidden_size=32,
    ffn_dim=56,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=128,
    word_embed_proj_dim=32,
)
# No power of two of heads: their slopes come in an order of their own.
MPT = dict(
    d_model=24,
    n_heads=6,
    n_layers=2,
    max_seq_len=256,
    attn_config=dict(clip_qkv=1.5, softmax_scale=0.4),
)
NEOX = dict(
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
    rotary_pct=0.5,
    rotary_emb_base=500,
)
# Eight of sixteen dimensions turn; each frequency has a factor of its own.
LONG = {
    "type": "longrope",
    "short_factor": [1.0, 1.3, 1.7, 2.1],
    "long_factor": [1.1, 2.6, 5.0, 9.0],
}


def checkpoints(make):
    """make(name, family, cases, text config, **options of a Checkpoint)"""
    few = lambda shift: lambda: cases.few_text_cases(shift)
    byte_level = dict(tokenizer="bytes", eos=("<|end|>",), weights="float16")
    few_bytes = dict(byte_level, tokenizer="few_bytes")
    pieces = dict(tokenizer="metaspace", weights="bfloat16")
    return [
        make("mistral", "mistral", few(0), MISTRAL, **pieces),
        make("qwen2", "qwen2", few(2), dict(QWEN2, tie_word_embeddings=True), **byte_level),
        make(
            "qwen2_window",
            "qwen2",
            few(4),
            dict(QWEN2, use_sliding_window=True, sliding_window=7, max_window_layers=1),
            strip={"": ["layer_types"]},
            **byte_level
        ),
        make("qwen3", "qwen3", few(6), QWEN3, **byte_level),
        make(
            "phi3", "phi3", few(1), dict(PHI3, hidden_size=48), **pieces
        ),
        make(
            "phi3_long",
            "phi3",
            cases.rope_cases,
            dict(
                PHI3,
                hidden_size=64,
                original_max_position_embeddings=48,
                rope_scaling=LONG,
                rope_theta=1000.0,
            ),
            **byte_level
        ),
        # Without layer_types: the class's own pattern of sliding layers.
        make(
            "gemma2",
            "gemma2",
            few(3),
            dict(GEMMA, attn_logit_softcapping=1.5),
            strip={"": ["layer_types"]},
            **pieces
        ),
        make(
            "gemma3_text",
            "gemma3_text",
            few(5),
            dict(GEMMA, sliding_window_pattern=3, rope_theta=20000.0, rope_local_base_freq=50.0),
            strip={"": ["layer_types"]},
            **pieces
        ),
        make("opt", "opt", few(7), OPT, **byte_level),
        # As OPT-350m: norms behind the sums, an embedding of another width.
        make(
            "opt_post",
            "opt",
            few(8),
            dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=24),
            seed=3,
            **byte_level
        ),
        make("mpt", "mpt", few(2), MPT, **few_bytes),
        make("gpt_neox", "gpt_neox", few(5), NEOX, **few_bytes),
        # As RedPajama-INCITE: one sublayer after the other, whole heads turn; and without biases.
        make(
            "gpt_neox_serial",
            "gpt_neox",
            few(3),
            dict(
                NEOX,
                rotary_pct=1.0,
                use_parallel_residual=False,
                attention_bias=False,
                tie_word_embeddings=True,
            ),
            **few_bytes
        ),
        *[
            make(name + "_v5", family, few(shift), source=name, **options)
            for name, family, shift, options in (
                ("mistral", "mistral", 0, pieces),
                ("qwen2_window", "qwen2", 4, byte_level),
                ("qwen3", "qwen3", 6, byte_level),
                ("gemma2", "gemma2", 3, pieces),
                ("opt_post", "opt", 8, byte_level),
                ("mpt", "mpt", 2, few_bytes),
                ("gpt_neox", "gpt_neox", 5, few_bytes),
            )
        ],
        make("gemma3_text_v5", "gemma3_text", few(5), source="gemma3_text", weights="bfloat16"),
        make(
            "phi3_long_v5",
            "phi3",
            cases.rope_cases,
            source="phi3_long",
            weights="float16",
            eos=("<|end|>",),
        ),
    ]
