"""Random but legal fields of every decoder's config, for random_shapes.py."""

import random

BEHIND_TOWERS = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3_text", "opt")
DECODERS = BEHIND_TOWERS + ("mpt", "gpt_neox")
ACTIVATIONS = ("silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu")
EPSILONS = (1e-5, 1e-6, 1e-4, 3e-3)


class Draw(random.Random):
    def one(self, *options):
        return self.choice(options)

    def maybe(self, chance=0.5):
        return self.random() < chance

    def some(self, chance=0.5, **fields):
        """Each field with that chance; a callable value is called for it."""
        chosen = {k: v for k, v in fields.items() if self.maybe(chance)}
        return {k: v() if callable(v) else v for k, v in chosen.items()}

    def epsilon(self):
        return self.choice(EPSILONS)


def rope_of(rng, head_dim, kinds):
    kind = rng.choice(kinds)
    if kind is None:
        return None
    name = "rope_type" if rng.maybe(0.7) and kind != "longrope" else "type"
    scaling = {name: kind}
    if kind == "longrope":  # Phi-3 knows it under the old name alone
        for factors in ("short_factor", "long_factor"):
            scaling[factors] = [round(rng.uniform(1, 6), 2) for _ in range(head_dim // 2)]
        return scaling
    scaling["factor"] = rng.one(1.5, 2.0, 4.0, 8.0, 32)
    if kind == "llama3":
        low = rng.one(1.0, 0.5)
        scaling |= {"low_freq_factor": low, "high_freq_factor": low * rng.one(2, 4)}
        scaling["original_max_position_embeddings"] = rng.one(32, 64, 8192)
    if kind == "yarn":
        scaling |= rng.some(
            original_max_position_embeddings=rng.one(32, 64, 4096),
            beta_fast=rng.one(32, 16, 4.0),
            beta_slow=rng.one(1, 2.0),
            attention_factor=rng.one(0.8, 1.2),
            mscale=rng.one(0.7, 1.0),
            mscale_all_dim=rng.one(0.5, 1.0),
            truncate=rng.maybe(),
        )
    return scaling


def heads_of(rng, explicit_width=True):
    """Heads, key heads, hidden size; the width of a head where the class has a field for it."""
    heads = rng.one(1, 2, 3, 4, 6, 8)
    kv = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
    width = rng.one(8, 10, 12, 16, 20, 24)
    shape = {"num_attention_heads": heads, "num_key_value_heads": kv, "hidden_size": heads * width}
    if explicit_width and rng.maybe(0.4):
        other = rng.one(8, 12, 14, 16, 32)
        shape |= {"head_dim": other, "hidden_size": rng.one(20, 32, 36, 50, 64)}
        width = other
    return shape, width


def common_text(rng, explicit_width=True, ropes=(None,), theta=(10000.0, 1e6, 500.0)):
    shape, width = heads_of(rng, explicit_width)
    text = shape | {
        "intermediate_size": rng.one(24, 40, 56, 72, 90),
        "num_hidden_layers": rng.one(1, 2, 3, 4),
        "max_position_embeddings": 2048,
        "rms_norm_eps": rng.epsilon(),
        "rope_theta": rng.choice(theta),
        "tie_word_embeddings": rng.maybe(0.4),
        "pad_token_id": rng.one(0, None),
    }
    scaling = rope_of(rng, width, ropes)
    if scaling:
        text["rope_scaling"] = scaling
        text["_long"] = True
        if "dynamic" in scaling.values():
            scaling["factor"] = rng.one(8.0, 20, 32)
            text["max_position_embeddings"] = rng.one(48, 96, 128)
    return text


ALL_ROPES = (None, None, "default", "linear", "dynamic", "yarn", "llama3")


def llama(rng):
    text = common_text(rng, ropes=ALL_ROPES)
    return text | rng.some(
        attention_bias=True,
        mlp_bias=True,
        pretraining_tp=rng.one(1, 2),
        hidden_act=rng.choice(ACTIVATIONS),
    )


def mistral(rng):
    text = common_text(rng, ropes=(None, None, "linear", "yarn"))
    return text | {"sliding_window": rng.one(None, 5, 9, 40, 4096)} | rng.some(
        0.3, hidden_act=rng.choice(ACTIVATIONS)
    )


def window(rng, layers):
    """Sliding windows in the way of Qwen 2 and 3."""
    fields = {"use_sliding_window": rng.maybe(0.6), "sliding_window": rng.one(4, 7, 33)}
    if rng.maybe():
        fields["max_window_layers"] = rng.randint(0, layers)
    else:
        kinds = ("sliding_attention", "full_attention")[not fields["use_sliding_window"] :]
        fields["layer_types"] = [rng.choice(kinds) for _ in range(layers)]
    return fields


def qwen2(rng):
    text = common_text(rng, explicit_width=False, ropes=(None, None, "yarn", "linear", "dynamic"))
    return text | rng.some(0.6, _window=True) | rng.some(0.3, hidden_act=rng.choice(ACTIVATIONS))


def qwen3(rng):
    text = common_text(rng, ropes=(None, None, "yarn"))
    text.setdefault("head_dim", rng.one(8, 12, 16))
    return text | rng.some(0.5, _window=True, attention_bias=True)


def phi3(rng):
    text = common_text(rng, explicit_width=False)
    width = text["hidden_size"] // text["num_attention_heads"]
    text["partial_rotary_factor"] = factor = rng.one(1.0, 1.0, 0.5, 0.75)
    rotary = int(width * factor)
    if rotary % 2:
        rotary, text["partial_rotary_factor"] = width, 1.0
    if rng.maybe():
        text |= {"original_max_position_embeddings": 40, "max_position_embeddings": 512}
        text["rope_scaling"] = rope_of(rng, rotary, ("longrope",))
        text["_long"] = True
    text["pad_token_id"] = 0
    return text | rng.some(sliding_window=rng.one(None, 6, 2047))


def gemma2(rng):
    text = common_text(rng)
    text.setdefault("head_dim", rng.one(8, 16))
    return text | rng.some(
        0.6,
        query_pre_attn_scalar=rng.one(7, 16, 256),
        attn_logit_softcapping=rng.one(None, 1.5, 30.0),
        final_logit_softcapping=rng.one(None, 3.0, 30.0),
        sliding_window=rng.one(4, 9, 100),
        attention_bias=True,
        hidden_activation=rng.one("gelu_pytorch_tanh", "gelu", "silu"),
        layer_types=lambda: [
            rng.one("sliding_attention", "full_attention")
            for _ in range(text["num_hidden_layers"])
        ],
    )


def gemma3_text(rng):
    text = gemma2(rng)
    text.pop("attn_logit_softcapping", None)
    if "layer_types" not in text:
        text["sliding_window_pattern"] = rng.one(2, 3, 6)
    scaling = rope_of(rng, 8, (None, "linear"))
    if scaling:
        scaling["rope_type"] = scaling.pop("type", "linear")
    return text | rng.some(rope_local_base_freq=rng.one(50.0, 1e4)) | (
        {"rope_scaling": scaling} if scaling else {}
    )


def opt(rng):
    heads = rng.one(1, 2, 4)
    hidden = heads * rng.one(8, 10, 16)
    return {
        "hidden_size": hidden,
        "ffn_dim": rng.one(40, 56, 90),
        "num_hidden_layers": rng.one(1, 2, 3),
        "num_attention_heads": heads,
        "max_position_embeddings": 1024,
        "word_embed_proj_dim": hidden,
        "tie_word_embeddings": rng.maybe(0.7),
    } | rng.some(
        0.4,
        do_layer_norm_before=False,
        enable_bias=False,
        activation_function=rng.choice(ACTIVATIONS),
        _remove_final_layer_norm=True,
    )


def mpt(rng):
    heads = rng.one(1, 2, 3, 4, 5, 6, 8, 12)
    attention = rng.some(0.4, clip_qkv=rng.one(0.3, 1.0, 8.0), softmax_scale=rng.one(0.1, 0.4))
    return {
        "d_model": heads * rng.one(4, 7, 8, 12),
        "n_heads": heads,
        "n_layers": rng.one(1, 2, 3),
        "max_seq_len": rng.one(1024, 2048),
        "tie_word_embeddings": rng.maybe(0.7),
        "attn_config": attention,
    } | rng.some(0.4, layer_norm_epsilon=rng.epsilon(), learned_pos_emb=False)


def gpt_neox(rng):
    text = common_text(rng, explicit_width=False, ropes=ALL_ROPES)
    for field in ("num_key_value_heads", "rms_norm_eps"):
        text.pop(field)
    text["rotary_emb_base"] = text.pop("rope_theta")
    width = text["hidden_size"] // text["num_attention_heads"]
    part = rng.one(0.25, 0.5, 1.0)
    text["rotary_pct"] = part if int(width * part) % 2 == 0 and int(width * part) > 2 else 1.0
    return text | rng.some(
        0.4,
        layer_norm_eps=rng.epsilon(),
        use_parallel_residual=False,
        attention_bias=False,
        hidden_act=rng.choice(ACTIVATIONS),
    )


_TEXTS = {
    f.__name__: f
    for f in (llama, mistral, qwen2, qwen3, phi3, gemma2, gemma3_text, opt, mpt, gpt_neox)
}


def text_of(rng, decoder):
    """(fields of the decoder's config, whether prompts should go beyond the original length)."""
    text = _TEXTS[decoder](rng)
    if text.pop("_window", False):
        text |= window(rng, text["num_hidden_layers"])
    return text, text.pop("_long", False)
