"""Pixtral (LLaVA with its tower) and Mistral 3: whole pictures of their own size, told row by row."""

import json
import sys

import transformers as hf

import cases
import decoders
import families

# In the style of the published files.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '[SYSTEM_PROMPT]' + message['content'][0]['text'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST]' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '[IMG]' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '[/INST]' }}"
    "{% else %}{{ message['content'][0]['text'] + eos_token }}{% endif %}{% endfor %}"
)


class Pixtral(families.Family):
    """By `merges` Mistral 3."""

    image_token = "[IMG]"
    stages = [
        (r"language_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"vision_tower\.transformer\.layers\.(\d+)$", "vit.block.{}", False),
        (r"multi_modal_projector$", "connector", False),
    ]

    def __init__(self, merges):
        self.merges = merges
        self.model_class = ("Mistral3" if merges else "Llava") + "ForConditionalGeneration"

    def tokens_of(self, spec):
        return ["[IMG_BREAK]", "[IMG_END]"]

    def model(self, spec, tokenizer, text):
        config_class = hf.Mistral3Config if self.merges else hf.LlavaConfig
        more = {} if self.merges else {"vision_feature_select_strategy": "full"}
        config = config_class(
            vision_config=hf.PixtralVisionConfig(**spec.vision),
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids(self.image_token),
            tie_word_embeddings=text.tie_word_embeddings,
            **more,
            **spec.top,
        )
        return getattr(hf, self.model_class)(config)

    def processor(self, spec, tokenizer):
        pictures = families.slow("PixtralImageProcessor")(**spec.pictures)
        merge = spec.top.get("spatial_merge_size", 2) if self.merges else 1
        return self._join(pictures, tokenizer, spec.vision["patch_size"], merge, TEMPLATE)

    def load_processor(self, folder):
        fields = json.loads((folder / "processor_config.json").read_text())
        return self._join(
            families.slow("PixtralImageProcessor").from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            fields["patch_size"],
            fields["spatial_merge_size"],
            (folder / "chat_template.jinja").read_text(),
        )

    def _join(self, pictures, tokenizer, patch, merge, template):
        with families.without_video_packages():
            from transformers.models.pixtral.processing_pixtral import PixtralProcessor

        options = {"patch_size": patch, "spatial_merge_size": merge, "chat_template": template}
        return PixtralProcessor(pictures, tokenizer, **options)

    def picture_tokens(self, processor, images):
        unit = processor.patch_size * processor.spatial_merge_size
        if not images:
            return []
        made = processor.image_processor(images, patch_size=unit)
        return [(1, (height // unit) * (width // unit)) for height, width in made["image_sizes"]]

    def pixels(self, inputs, parts):
        """Each picture without its padding: [1, 3, h, w]."""
        sizes = [tuple(int(side) for side in size) for size in inputs["image_sizes"]]
        return {
            f"pixel_values.{i}": inputs["pixel_values"][i : i + 1, :, :height, :width]
            for i, (height, width) in enumerate(sizes)
        }

    def no_effect(self, config, name):
        layers = config.vision_config.num_hidden_layers
        chosen = config.vision_feature_layer
        last = max(c % (layers + 1) for c in (chosen if isinstance(chosen, list) else [chosen]))
        place = name.partition("vision_tower.transformer.layers.")[2]
        return bool(place) and int(place.split(".")[0]) >= last

    def doubled(self):
        module = sys.modules["transformers.models.pixtral.modeling_pixtral"]
        mistral = sys.modules["transformers.models.mistral.modeling_mistral"]
        places = [
            (module, "eager_attention_forward", "attention"),
            (module.PixtralRMSNorm, "forward", "rms_norm"),
            (mistral.MistralRMSNorm, "forward", "rms_norm"),
            (mistral.MistralRotaryEmbedding, "forward", "rotary"),
            (mistral, "eager_attention_forward", "grouped_attention"),
        ]
        if self.merges:
            merger = sys.modules["transformers.models.mistral3.modeling_mistral3"]
            places.append((merger.Mistral3RMSNorm, "forward", "rms_norm"))
        return places


families.FAMILIES.update({"pixtral": Pixtral(merges=False), "mistral3": Pixtral(merges=True)})

TOWER = dict(
    hidden_size=24,
    intermediate_size=44,
    num_hidden_layers=3,
    num_attention_heads=4,  # of 6: an odd number of frequencies, one more for rows than for columns
    image_size=128,
    patch_size=8,
    rope_theta=100.0,
)
TEXT = dict(decoders.MISTRAL, sliding_window=None, max_position_embeddings=512)


def checkpoints(Checkpoint):
    common = dict(decoder="mistral", weights="bfloat16", pictures=dict(size={"longest_edge": 128}))
    return [
        Checkpoint(
            "pixtral",
            "pixtral",
            cases.pixtral_cases,
            TEXT,
            TOWER,
            dict(vision_feature_layer=-1),
            tokenizer="bytes",
            eos=("<|end|>",),
            **common,
        ),
        Checkpoint(
            "mistral3",
            "mistral3",
            cases.pixtral_cases,
            dict(TEXT, num_hidden_layers=2),
            dict(TOWER, num_attention_heads=3, hidden_act="silu"),
            dict(spatial_merge_size=2, vision_feature_layer=-2),
            tokenizer="metaspace",
            seed=2,
            **common,
        ),
    ]
