"""Which checkpoints there are: shapes, dialect, tokenizer and cases of each.

Every dimension of a model differs from every other one, so that a mix-up cannot cancel out.
"""

import blip_video  # noqa: F401  its family is known from here on
import cases
import decoders
import idefics
import lavin
import llama_adapter
import llama_checkpoints
import llava_line  # noqa: F401  its families are known from here on
import medvint
import minigpt
import openflamingo
import pixtral
import text_tokenizers as tt
import tile_checkpoints
from checkpoint import CLIP, EVA, GQA, QFORMER, SMALL, Checkpoint, rope_text


def all_checkpoints():
    return (
        llama_checkpoints.checkpoints()
        + decoders.checkpoints(Checkpoint)
        + _llava()
        + _llava_decoders()
        + _instructblip()
        + _blip2()
        + tile_checkpoints.tiles()
        + tile_checkpoints.anyres()
        + idefics.checkpoints(Checkpoint)
        + minigpt.checkpoints(Checkpoint)
        + openflamingo.checkpoints(Checkpoint)
        + llama_adapter.checkpoints(Checkpoint)
        + lavin.checkpoints(Checkpoint)
        + medvint.checkpoints(Checkpoint)
        + tile_checkpoints.idefics2()
        + tile_checkpoints.qwen_vl()
        + pixtral.checkpoints(Checkpoint)
        + _second_dialect()
    )


def _llava():
    clip_defaults = [
        "hidden_act",
        "layer_norm_eps",
        "num_channels",
        "projection_dim",
        "initializer_factor",
        "initializer_range",
        "attention_dropout",
    ]
    return [
        Checkpoint(
            "llava",
            "llava",
            cases.llava_cases,
            GQA,
            CLIP,
            tokenizer="prepend",
            full=(0, 3),
            extra_rows=5,
        ),
        Checkpoint(
            "llava_full_list",
            "llava",
            cases.few_llava_cases,
            dict(GQA, tie_word_embeddings=True),
            dict(CLIP, hidden_act="gelu"),
            dict(vision_feature_layer=[-2, -3], vision_feature_select_strategy="full"),
            tokenizer="bytes",
            eos=("<|end|>",),
            full=(0,),
            weights="float16",
            current_names=True,
        ),
        Checkpoint(
            "llava_sparse",
            "llava",
            cases.few_llava_cases,
            SMALL,
            dict(CLIP, num_hidden_layers=3),
            dict(multimodal_projector_bias=False),
            tokenizer="metaspace",
            seed=2,
            old_processor=True,
            weights="bfloat16",
            strip={
                "": [
                    "vision_feature_layer",
                    "vision_feature_select_strategy",
                    "projector_hidden_act",
                    "image_seq_length",
                ],
                "vision_config": clip_defaults,
                "text_config": [
                    "rms_norm_eps",
                    "rope_theta",
                    "rope_scaling",
                    "hidden_act",
                    "attention_bias",
                    "mlp_bias",
                    "attention_dropout",
                    "pretraining_tp",
                    "use_cache",
                    "initializer_range",
                    "head_dim",
                ],
            },
        ),
    ]


def _instructblip():
    return [
        Checkpoint(
            "instructblip",
            "instructblip",
            cases.instructblip_cases,
            GQA,
            EVA,
            dict(num_query_tokens=7),
            qformer=QFORMER,
            tokenizer="prepend_old_bos",
            full=(0, 1, 2),
        ),
        # Separate q_bias and v_bias tensors, and a picture size of its own.
        Checkpoint(
            "instructblip_old",
            "instructblip",
            cases.few_instructblip_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2),
            dict(num_query_tokens=5),
            tokenizer="metaspace",
            qformer=QFORMER,
            old_bias=True,
            seed=3,
            weights="bfloat16",
        ),
        Checkpoint(
            "instructblipvideo",
            "instructblipvideo",
            cases.frame_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2, hidden_size=20, intermediate_size=36),
            dict(num_query_tokens=5),
            qformer=dict(
                QFORMER,
                num_hidden_layers=3,
                hidden_size=24,
                intermediate_size=44,
                encoder_hidden_size=20,
            ),
            tokenizer="prepend_old_bos",
            full=(0,),
            seed=5,
            weights="bfloat16",
        ),
    ]


def _blip2():
    blip = dict(qformer=QFORMER, full=(0,))
    return [
        Checkpoint(
            "blip2_opt",
            "blip-2",
            cases.blip2_cases,
            dict(decoders.OPT, max_position_embeddings=256),
            EVA,
            dict(num_query_tokens=7),
            decoder="opt",
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
            **blip
        ),
        Checkpoint(
            "blip2_llama",
            "blip-2",
            cases.blip2_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2),
            dict(num_query_tokens=5),
            tokenizer="metaspace",
            seed=4,
            weights="float16",
            **blip
        ),
    ]


def _llava_decoders():
    """LLaVA over other decoders: Vicuna apart, Mistral (1.6), Qwen 2 and Llama 3 are in use."""
    few = cases.few_llava_cases
    clip = dict(CLIP, num_hidden_layers=3, num_attention_heads=4)
    byte_level = dict(tokenizer="bytes", eos=("<|end|>",), weights="bfloat16")
    llama3 = rope_text(
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 48,
        }
    )
    return [
        Checkpoint(
            "llava_mistral",
            "llava",
            few,
            decoders.MISTRAL,
            clip,
            decoder="mistral",
            tokenizer="metaspace",
            weights="bfloat16",
            seed=5,
        ),
        Checkpoint("llava_qwen2", "llava", few, decoders.QWEN2, clip, decoder="qwen2", **byte_level),
        Checkpoint("llava_llama3", "llava", few, llama3, clip, **byte_level),
        Checkpoint(
            "llava_gemma2",
            "llava",
            few,
            dict(decoders.GEMMA, attn_logit_softcapping=1.5),
            clip,
            decoder="gemma2",
            **byte_level
        ),
    ]


# Four patches of six pixels a side; two by two of them are one visual token.
def _second_dialect():
    few = lambda: cases.few_text_cases(0)

    def fifth(source, family, cases, **options):
        options = dict(weights="bfloat16") | options
        return Checkpoint(source + "_v5", family, cases, source=source, **options)

    return [
        Checkpoint("llama_v5", "llama", few, source="llama_tied", weights="bfloat16"),
        Checkpoint(
            "llama_yarn_v5",
            "llama",
            cases.rope_cases,
            source="llama_yarn",
            weights="float16",
            eos=("<|end|>",),
        ),
        Checkpoint("llava_v5", "llava", cases.few_llava_cases, source="llava", weights="bfloat16"),
        Checkpoint(
            "llava_next_v5",
            "llava_next",
            cases.few_anyres_cases,
            source="llava_next",
            weights="bfloat16",
        ),
        Checkpoint(
            "instructblip_v5",
            "instructblip",
            cases.few_instructblip_cases,
            source="instructblip",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics_v5",
            "idefics",
            cases.few_inside_cases,
            source="idefics_plain",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics2_v5",
            "idefics2",
            cases.few_tile_cases,
            source="idefics2_split",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics3_v5",
            "idefics3",
            cases.few_tile_cases,
            source="idefics3",
            weights="bfloat16",
            eos=("<|end|>", "<end_of_utterance>"),
        ),
        fifth("llava_next_video", "llava_next_video", cases.few_video_cases),
        fifth("llava_onevision", "llava_onevision", cases.few_video_cases),
        fifth("video_llava", "video_llava", cases.few_video_cases),
        fifth("blip2_opt", "blip-2", cases.few_blip2_cases),
        fifth("smolvlm", "smolvlm", cases.few_smol_cases, eos=("<end_of_utterance>",)),
        fifth("instructblipvideo", "instructblipvideo", cases.few_frame_cases),
        fifth("qwen2_vl", "qwen2_vl", cases.few_qwen_cases, eos=("<|im_end|>",)),
        fifth("qwen2_5_vl", "qwen2_5_vl", cases.few_qwen_cases, eos=("<|im_end|>",)),
        fifth("pixtral", "pixtral", cases.few_pixtral_cases, eos=("<|end|>",)),
        fifth("mistral3", "mistral3", cases.few_pixtral_cases),
    ]


def make_tokenizer(kind):
    """(backend tokenizer, bos, eos, unk)."""
    if kind == "prepend":
        return tt.sentencepiece_bpe("prepend", 140, extra=("<|im_end|>",)), "<s>", "</s>", "<unk>"
    if kind == "small_prepend":
        return tt.sentencepiece_bpe("prepend", 72), "<s>", "</s>", "<unk>"
    if kind == "prepend_old_bos":  # as InstructBLIP-Vicuna: the begin token is </s>
        return tt.sentencepiece_bpe("prepend", 140, bos="</s>"), "</s>", "</s>", "</s>"
    if kind == "metaspace":
        return tt.sentencepiece_bpe("metaspace", 120), "<s>", "</s>", "<unk>"
    if kind in ("words", "unigram"):
        return tt.word_level() if kind == "words" else tt.unigram(), "<s>", "</s>", "<unk>"
    if kind == "qwen":  # no begin token at all
        return tt.byte_level_bpe(320, "<|begin|>", adds_bos=False), None, "<|end|>", None
    if kind == "smol":  # the begin token stands in the template alone
        return tt.byte_level_bpe(320, "<|im_start|>", adds_bos=False), "<|im_start|>", "<|end|>", None
    size = 270 if kind == "few_bytes" else 320
    return tt.byte_level_bpe(size), "<|begin|>", "<|end|>", None
