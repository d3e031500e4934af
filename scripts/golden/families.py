"""The families whose pictures become several parts or have their own size: how a tiny one is made, saved and asked.

build.py, prompts.py, reference.py and checks.py ask here for a family before they do what is theirs.
"""

import contextlib
import json
import re
import sys
import types

import transformers as hf
from transformers.processing_utils import ProcessorMixin
from transformers.utils import PushToHubMixin

import prompts
from idefics import Idefics
from lavin import Lavin
from llama_adapter import LlamaAdapter
from medvint import Medvint
from minigpt import MiniGptV2
from openflamingo import OpenFlamingo
import smol_videos
from qwen_vl import QwenVL

# As the published checkpoints have it; the begin token is in the tokenizer or in `start`.
SMOLVLM_TEMPLATE = (
    "%s{%% for message in messages %%}{{message['role'] | capitalize}}"
    "{%% if message['content'][0]['type'] == 'image' %%}{{':'}}{%% else %%}{{': '}}{%% endif %%}"
    "{%% for line in message['content'] %%}{%% if line['type'] == 'text' %%}{{line['text']}}"
    "{%% elif line['type'] == 'image' %%}{{ '<image>' }}{%% endif %%}{%% endfor %%}<end_of_utterance>\n{%% endfor %%}"
    "{%% if add_generation_prompt %%}{{ 'Assistant:' }}{%% endif %%}"
)


def slow(name):
    """The image processor class that resizes with Pillow; 5.x calls it by a name of its own."""
    return getattr(hf, name + "Pil", None) or getattr(hf, name)


class Family:
    stages = []  # of reference.StageRecorder
    tokens = ()  # added to the tokenizer after <image>

    def render(self, processor, messages):
        messages = [{"role": m["role"], "content": prompts.parts(m["content"])} for m in messages]
        return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def picture_tokens(self, processor, images):
        """[(parts, visual tokens of all of them)] of each picture."""
        raise NotImplementedError

    def pixels(self, inputs, parts):
        """pixel_values as [parts of all pictures, 3, h, w]."""
        return inputs["pixel_values"]

    def positions(self, model, inputs, start, length):
        """Keyword arguments of a forward pass over embeddings of tokens [start, start + length)."""
        return {}

    def joined(self, model, inputs):
        """Stages that no module's output shows."""
        return {}

    def no_effect(self, config, name):
        return False


class Tiles(Family):
    """Idefics3 and SmolVLM."""

    stages = [
        (r"text_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"vision_model\.encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"vision_model\.post_layernorm$", "vit.post_layernorm", False),
        (r"connector\.modality_projection$", "connector", False),
    ]

    def __init__(self, name):
        self.name = name  # Idefics3 or SmolVLM
        self.model_class = name + "ForConditionalGeneration"

    def tokens_of(self, spec):
        places = [f"<row_{r}_col_{c}>" for r in range(1, 3) for c in range(1, 3)]
        return ["<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *places]

    def model(self, spec, tokenizer, text):
        config = getattr(hf, self.name + "Config")(
            vision_config=dict(spec.vision),
            text_config=text.to_dict(),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            tie_word_embeddings=text.tie_word_embeddings,
            pad_token_id=0,
            **spec.top,
        )
        return getattr(hf, self.model_class)(config)

    def processor(self, spec, tokenizer):
        side = spec.vision["image_size"]
        pictures = getattr(hf, self.name + "ImageProcessor")(
            max_image_size={"longest_edge": side}, **spec.pictures
        )
        patches = side // spec.vision["patch_size"] // spec.top["scale_factor"]
        start = tokenizer.bos_token
        template = SMOLVLM_TEMPLATE % start
        return self._join(pictures, tokenizer, patches**2, template, spec.videos)

    def load_processor(self, folder):
        config = json.loads((folder / "processor_config.json").read_text())
        return self._join(
            slow(self.name + "ImageProcessor").from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            config["image_seq_len"],
            (folder / "chat_template.jinja").read_text(),
            smol_videos.saved_sizes(folder) if self.name == "SmolVLM" else None,
        )

    def _join(self, pictures, tokenizer, tokens, template, videos):
        if self.name == "Idefics3":
            return hf.Idefics3Processor(
                pictures, tokenizer, image_seq_len=tokens, chat_template=template
            )
        with without_video_packages():
            joined = smol_videos.processor_class()
        frames = smol_videos.SquashedFrames(videos)
        return joined(pictures, tokenizer, frames, image_seq_len=tokens, chat_template=template)

    def video_rates(self, videos, rates):
        return {"video_metadata": [{"fps": rate} for rate in rates]}

    def video_tokens(self, processor, videos):
        return [(len(frames), len(frames) * processor.image_seq_len) for frames in videos]

    def picture_tokens(self, processor, images):
        if not images:
            return []
        made = processor.image_processor(images, return_row_col_info=True)
        counts = [r * c + 1 for r, c in zip(made["rows"][0], made["cols"][0])]
        return [(n, n * processor.image_seq_len) for n in counts]

    def pixels(self, inputs, parts):
        return inputs["pixel_values"].flatten(0, 1)

    def no_effect(self, config, name):
        return bool(re.search(r"vision_model\..*k_proj\.bias$", name))

    def doubled(self):
        """Places where the library falls back to float32: (module, name, what stands there in the double run)."""
        module = sys.modules[getattr(hf, self.model_class).__module__]
        return [(module, "eager_attention_forward", "attention")]


class Bounded(Family):
    """Idefics2: pictures between two edges, told whole or in quarters, a perceiver behind the tower."""

    model_class = "Idefics2ForConditionalGeneration"
    stages = [
        (r"text_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"vision_model\.encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"vision_model\.post_layernorm$", "vit.post_layernorm", False),
        (r"connector\.modality_projection$", "projector", False),
        (r"perceiver_resampler\.layers\.(\d+)$", "perceiver.layer.{}", False),
        (r"connector$", "connector", False),
    ]

    def tokens_of(self, spec):
        return ["<fake_token_around_image>", "<end_of_utterance>"]

    def model(self, spec, tokenizer, text):
        config = hf.Idefics2Config(
            vision_config=dict(spec.vision),
            perceiver_config=dict(spec.qformer),
            text_config=text.to_dict(),
            image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
            tie_word_embeddings=text.tie_word_embeddings,
            **spec.top,
        )
        return hf.Idefics2ForConditionalGeneration(config)

    def processor(self, spec, tokenizer):
        return hf.Idefics2Processor(
            hf.Idefics2ImageProcessor(**spec.pictures),
            tokenizer,
            image_seq_len=spec.qformer["resampler_n_latents"],
            chat_template=SMOLVLM_TEMPLATE % "",
        )

    def load_processor(self, folder):
        return hf.AutoProcessor.from_pretrained(folder)

    def picture_tokens(self, processor, images):
        parts = 5 if processor.image_processor.do_image_splitting else 1
        return [(parts, parts * processor.image_seq_len) for _ in images]

    def pixels(self, inputs, parts):
        """Each part of each picture without its padding: [3, h, w]."""
        found, index = {}, 0
        for picture, (count, _) in enumerate(parts):
            for part in range(count):
                mask = inputs["pixel_attention_mask"][0, index]
                height, width = int(mask[:, 0].sum()), int(mask[0].sum())
                values = inputs["pixel_values"][0, index, :, :height, :width]
                found[f"pixel_values.{picture}.{part}"] = values
                index += 1
        return found

    def no_effect(self, config, name):
        return bool(re.search(r"vision_model\..*k_proj\.bias$", name))

    def doubled(self):
        module = sys.modules["transformers.models.idefics2.modeling_idefics2"]
        mistral = sys.modules["transformers.models.mistral.modeling_mistral"]
        return [
            (module, "eager_attention_forward", "attention_of_groups"),
            (module.Idefics2RMSNorm, "forward", "rms_norm"),
            (mistral.MistralRMSNorm, "forward", "rms_norm"),
            (mistral.MistralRotaryEmbedding, "forward", "rotary"),
            (mistral, "eager_attention_forward", "grouped_attention"),
        ]


@contextlib.contextmanager
def without_video_packages():
    """Imports of torchvision succeed, for modules that name it and never come to use it with pictures."""
    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.v2"]
    stubs = {name: types.ModuleType(name) for name in names}
    stubs["torchvision.transforms.v2"].functional = None
    sys.modules.update(stubs)
    # The stand-in for a video processor is none of the library's classes.
    ProcessorMixin.check_argument_for_proper_class = lambda self, name, argument: type(argument)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class NoVideos(types.SimpleNamespace, PushToHubMixin):  # 5.x saves what is one of these
    """Stands for a video processor nobody asks."""

    num_frames, fps, _auto_class = 1, 1, None

    def _set_processor_class(self, _):
        pass

    def save_pretrained(self, *_, **__):
        pass

    def to_dict(self):
        return {}


FAMILIES = {
    "idefics": Idefics(),
    "lavin": Lavin(),
    "llama_adapter": LlamaAdapter(),
    "medvint": Medvint(),
    "minigpt_v2": MiniGptV2(),
    "openflamingo": OpenFlamingo(),
    "idefics2": Bounded(),
    "idefics3": Tiles("Idefics3"),
    "smolvlm": Tiles("SmolVLM"),
    "qwen2_vl": QwenVL("Qwen2VL", without_video_packages),
    "qwen2_5_vl": QwenVL("Qwen2_5_VL", without_video_packages),
}


def runs(ids, token, counts):
    """Spans [position, length, picture, first row]: the runs of the placeholder dealt out to pictures of `counts`
    tokens."""
    spans, position = [], 0
    for picture, count in enumerate(counts):
        placed = 0
        while placed < count:
            while ids[position] != token:
                position += 1
            start = position
            while position < len(ids) and ids[position] == token and position - start < count - placed:
                position += 1
            spans.append([start, position - start, picture, placed])
            placed += position - start
    return spans
