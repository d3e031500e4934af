"""IDEFICS for families.py: pictures that the decoder looks at from within, by a mask of tokens and pictures."""

import re
import sys

import torch
import transformers as hf

import cases

END = "<end_of_utterance>"
# The published checkpoints bring no template; the one whose answers end with the end token is made up for the tests.
TEMPLATE = (
    "{%% for message in messages %%}{{ message['role'].capitalize() + ': ' }}"
    "{%% for line in message['content'] %%}{%% if line['type'] == 'text' %%}{{ line['text'] }}"
    "{%% elif line['type'] == 'image' %%}{{ '<image>' }}{%% endif %%}{%% endfor %%}%s\n{%% endfor %%}"
    "{%% if add_generation_prompt %%}{{ 'Assistant:' }}{%% endif %%}"
)
UTTERANCES = TEMPLATE % END
ENDS = TEMPLATE % "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"


class Idefics:
    model_class = "IdeficsForVisionText2Text"
    stages = [
        (r"^model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"gated_cross_attn_layers\.(\d+)$", "decoder.cross.{}", False),
        (r"vision_model\.encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"perceiver_resampler$", "resampler", False),
    ]

    def tokens_of(self, spec):
        return ["<fake_token_around_image>", *([END] if spec.pictures.get("utterances") else [])]

    def model(self, spec, tokenizer, _text):
        tied = spec.text.get("tie_word_embeddings", False)  # 4.57 cannot save it with additional rows
        added = 0 if tied else 1 + len(self.tokens_of(spec))
        text = {k: v for k, v in spec.text.items() if k != "num_key_value_heads"}
        config = hf.IdeficsConfig(
            vocab_size=len(tokenizer) - added,
            additional_vocab_size=added,
            vision_config=dict(spec.vision),
            perceiver_config=dict(spec.qformer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **text,
            **spec.top,
        )
        return hf.IdeficsForVisionText2Text(config)

    def processor(self, spec, tokenizer):
        pictures = hf.IdeficsImageProcessor(image_size=spec.vision["image_size"])
        joined = self._join(pictures, tokenizer)
        if not spec.pictures.get("utterances"):
            joined.chat_template = ENDS
        return joined

    def load_processor(self, folder):
        nested = folder / "processor_config.json"
        fifth = nested.exists() and "image_processor" in nested.read_text()
        image_class = hf.IdeficsImageProcessorPil if fifth else hf.IdeficsImageProcessor
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        joined = self._join(image_class.from_pretrained(folder), tokenizer)
        template = folder / "chat_template.jinja"
        joined.chat_template = template.read_text() if template.exists() else None
        return joined

    def _join(self, pictures, tokenizer):
        # The class names a tokenizer class that rebuilds what tokenizer.json says.
        any_tokenizer = type(
            "IdeficsProcessor",
            (hf.IdeficsProcessor,),
            {"tokenizer_class": "PreTrainedTokenizerFast"},
        )
        return any_tokenizer(pictures, tokenizer)

    def render(self, processor, messages):
        import prompts

        messages = [{"role": m["role"], "content": prompts.parts(m["content"])} for m in messages]
        return processor.apply_chat_template(
            messages,
            chat_template=processor.chat_template or UTTERANCES,
            tokenize=False,
            add_generation_prompt=True,
        )

    def encode(self, processor, text, images):
        """The processor takes a list of texts and pictures."""
        left, parts = list(images), []
        for i, piece in enumerate(text.split("<image>")):
            if i > 0:
                parts.append(left.pop(0))
            if piece:
                parts.append(piece)
        return dict(
            processor(
                text=[parts], add_end_of_utterance_token=False, padding=False, return_tensors="pt"
            )
        )

    def picture_tokens(self, processor, images):
        return [(1, 1) for _ in images]

    def spans(self, _ids, inputs, config):
        """[position, length, picture, 0, 0, 0, rows]: which tokens look at how many rows of which picture."""
        perceiver, vision = config.perceiver_config, config.vision_config
        rows = (vision.image_size // vision.patch_size) ** 2 + 1
        if config.use_resampler:
            rows = perceiver.resampler_n_latents
        spans = []
        for position, seen in enumerate(inputs["image_attention_mask"][0].tolist()):
            if not any(seen):
                continue
            picture = seen.index(1)
            last = spans[-1] if spans else None
            if last and last[2] == picture and last[0] + last[1] == position:
                last[1] += 1
            else:
                spans.append([position, 1, picture, 0, 0, 0, rows])
        return spans

    def pixels(self, inputs, _parts):
        return inputs["pixel_values"][0]

    def positions(self, _model, inputs, start, length):
        """The answer's tokens look at what the prompt's last one looks at."""
        mask = inputs["image_attention_mask"]
        later = mask[:, -1:].expand(-1, max(start + length - mask.shape[1], 0), -1)
        whole = torch.cat([mask, later], dim=1)
        pixels = inputs["pixel_values"]
        return {"image_attention_mask": whole[:, start : start + length], "pixel_values": pixels}

    def joined(self, _model, _inputs):
        return {}

    def no_effect(self, _config, name):
        """All keys of a head share a bias, so the softmax does not see it; nobody reads the tower's last norm."""
        return bool(
            re.search(r"vision_model\.(post_layernorm|.*k_proj\.bias$)|k_layer_norm\.bias$", name)
        )

    def doubled(self):
        module = sys.modules["transformers.models.idefics.modeling_idefics"]
        vision = sys.modules["transformers.models.idefics.vision"]
        return [
            (module, "eager_attention_forward", "attention"),
            (vision, "eager_attention_forward", "attention"),
            (module.IdeficsRMSNorm, "forward", "rms_norm"),
            (module.IdeficsEmbedding, "forward", "cached_rotary"),
        ]


# Pictures that the decoder looks at from within.
INSIDE = dict(
    hidden_size=32,
    intermediate_size=56,
    num_attention_heads=4,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
)
INSIDE_VISION = dict(
    embed_dim=24,
    intermediate_size=44,
    num_hidden_layers=2,
    num_attention_heads=3,
    image_size=14,
    patch_size=7,
)


def checkpoints(make):
    resampler = dict(
        resampler_n_latents=4,
        resampler_depth=2,
        resampler_n_heads=2,
        resampler_head_dim=10,
        qk_layer_norms_perceiver=True,
    )
    return [
        # As the published 9b: resampler, norms of q and k, a gate for each channel, no template of its own.
        make(
            "idefics",
            "idefics",
            cases.inside_cases,
            dict(INSIDE, num_hidden_layers=4),
            INSIDE_VISION,
            top=dict(
                alpha_type="vector",
                cross_layer_interval=2,
                qk_layer_norms=True,
                use_resampler=True,
            ),
            qformer=resampler,
            tokenizer="metaspace",
            pictures={"utterances": True},
            weights="bfloat16",
            full=(2,),
        ),
        # All rows of the tower, one number for a gate, tied; an end token after which no picture is seen.
        make(
            "idefics_plain",
            "idefics",
            cases.few_inside_cases,
            dict(INSIDE, num_hidden_layers=2, tie_word_embeddings=True),
            INSIDE_VISION,
            top=dict(alpha_type="float"),
            tokenizer="prepend",
            weights="bfloat16",
            seed=2,
        ),
    ]
