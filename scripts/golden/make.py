#!/usr/bin/env python3
"""Generates tests/golden: tiny checkpoints and what the reference library computes with them. See README.md."""

import argparse
import filecmp
import importlib.metadata
import json
import pathlib
import platform
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

import build
import checks
from checkpoints import all_checkpoints
from decoders import text_only
from families import FAMILIES, runs
from pictures import make_pictures
from prompts import ROOT, Prompter
from reference import BLIP, STEPS, Reference, double_precision, model_inputs, patched_double

TAIL = 8  # rows of prefill logits kept for the lesser cases
FIFTH = int(transformers.__version__.split(".")[0]) >= 5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="checkpoints to make (default: all of this library's dialect)"
    )
    parser.add_argument("--out", type=pathlib.Path, default=ROOT, help="default: tests/golden")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if not FIFTH:
        make_pictures(ROOT / "images")
    for spec in all_checkpoints():
        if bool(spec.source) == FIFTH and (not arguments.names or spec.name in arguments.names):
            arguments.out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=arguments.out) as scratch:
                made = pathlib.Path(scratch) / spec.name
                make(spec, made)
                if spec.source:
                    _share(made, arguments.out / spec.source)
                shutil.rmtree(arguments.out / spec.name, ignore_errors=True)
                made.rename(arguments.out / spec.name)


def _share(folder, source):
    """Weights and tokenizer that both dialects write in the same bytes are kept once: a link to the 4.57 folder's."""
    for name in ("model.safetensors", "tokenizer.json"):
        ours, theirs = folder / name, source / name
        if ours.exists() and theirs.exists() and filecmp.cmp(ours, theirs, shallow=False):
            ours.unlink()
            ours.symlink_to(pathlib.Path("..") / source.name / name)


def make(spec, folder):
    build.build(spec, folder)
    model, processor = build.load(spec, folder)
    reference, prompter = Reference(model, spec.family), Prompter(spec.family, processor)
    end_ids = _end_ids(model)
    records, tensors, prepared = [], {}, []
    for index, case in enumerate(spec.cases()):
        record, inputs, found = _run_case(spec, case, reference, prompter, end_ids, index, records)
        records.append(record)
        prepared.append(inputs)
        tensors.update({f"case{index}.{key}": value for key, value in found.items()})
        if case.fp64:
            tensors.update(_fp64(spec, folder, inputs, f"case{index}."))
    with_picture = [i for i in prepared if checks.pixel_key(i)]
    shift = [round(checks.check_picture(spec, reference, i), 2) for i in with_picture]
    checks.check_tensors(spec, reference, prepared[:3])
    build.finish(spec, folder)
    _write(spec, folder, model, prompter, end_ids, records, tensors)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(
        f"{spec.name}: {len(records)} cases, {size / 1e6:.2f} MB, T {[len(r['input_ids']) for r in records]}, "
        f"picture effect {shift}",
        flush=True,
    )


def _run_case(spec, case, reference, prompter, end_ids, index, earlier):
    for candidate in case.candidates:
        record, inputs = prompter.prepare(candidate)
        if any(
            record["prompt"] == e["prompt"] and record["images"] == e["images"] for e in earlier
        ):
            continue
        logits, stages = reference.stages(inputs)
        ids, rows = reference.greedy(stages["inputs_embeds"])
        margin = checks.margin(rows)
        ends = [i for i, token in enumerate(ids) if token in end_ids]
        if margin < checks.MIN_MARGIN or bool(ends) != case.wants_end:
            continue
        _check_cache(spec, reference, logits, rows, stages["inputs_embeds"], ids)
        _check_generate(spec, reference, inputs, ids, rows, end_ids)
        record = {
            "name": case.name,
            **record,
            "spans": _spans(record["input_ids"], inputs, reference),
            **_parts_record(inputs, reference),
            **_steps_record(prompter.tokenizer, record["input_ids"], ids, rows),
            "eos_step": ends[0] if ends else None,
            "min_margin": margin,
        }
        return record, inputs, _case_tensors(spec, index, inputs, logits, stages, ids, rows)
    raise SystemExit(
        f"{spec.name}: no usable prompt for case '{case.name}' among {len(case.candidates)}"
    )


def _parts_record(inputs, reference):
    """Of pictures, then of videos."""
    pictures, videos = inputs.get("picture_tokens", []), inputs.get("picture_videos", [])
    record = {"parts": [parts for parts, _ in pictures + videos]} if pictures + videos else {}
    if videos:
        record["kinds"] = ["image"] * len(pictures) + ["video"] * len(videos)
    family = FAMILIES.get(reference.family)
    if videos and hasattr(family, "paces"):
        paces = family.paces(reference.model.config, inputs)
        record |= {"frame_steps": [step for step, _ in paces], "extents": [e for _, e in paces]}
    return record | ({"grids": inputs["picture_grids"]} if "picture_grids" in inputs else {})


def _steps_record(tokenizer, prompt_ids, ids, rows):
    logprobs = rows.log_softmax(-1)
    best = logprobs.topk(5, dim=-1)
    whole = tokenizer.decode(prompt_ids + ids, skip_special_tokens=True)
    before = tokenizer.decode(prompt_ids, skip_special_tokens=True)
    return {
        "greedy_ids": ids,
        "text": tokenizer.decode(ids, skip_special_tokens=True),
        "text_continued": whole[len(before) :] if whole.startswith(before) else None,
        "chosen_logprobs": [float(logprobs[i, token]) for i, token in enumerate(ids)],
        "top_logprobs": [
            [[int(t), float(v)] for t, v in zip(tokens, values)]
            for tokens, values in zip(best.indices, best.values)
        ],
    }


def _check_cache(spec, reference, logits, rows, embeds, ids):
    """Row 0 is the prefill's last row; the last row must equal one fresh pass over everything.

    Not with dynamic rope, whose fresh pass uses other frequencies for the prompt than the cache holds.
    """
    whole = torch.cat([embeds, reference.embed(ids[:-1])])
    reference.reset_rope()
    with torch.no_grad():
        fresh = reference.run(whole[None]).logits[0]
    worst = float((rows[0] - logits[-1]).abs().max())
    if not reference.dynamic_rope():
        worst = max(worst, float((rows[-1] - fresh[-1]).abs().max()))
    if worst > checks.CACHE_TOLERANCE:
        raise SystemExit(
            f"{spec.name}: decoding with the cache differs from a fresh pass by {worst:.1e}"
        )


def _check_generate(spec, reference, inputs, ids, rows, end_ids):
    """The library's own greedy generate() must choose the same ids from the same logits."""
    model = reference.model
    if reference.family in BLIP and "pixel_values" not in inputs:
        model = reference.decoder
    reference.reset_rope()
    with torch.no_grad():
        out = model.generate(
            **model_inputs(inputs),
            max_new_tokens=STEPS,
            do_sample=False,
            num_beams=1,
            eos_token_id=sorted(end_ids),
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
    stop = next((i + 1 for i, token in enumerate(ids) if token in end_ids), STEPS)
    chosen = out.sequences[0, -stop:].tolist()
    if chosen != ids[:stop] or len(out.logits) != stop:
        raise SystemExit(f"{spec.name}: generate() chose {chosen}, the step loop {ids[:stop]}")
    worst = float((torch.cat(out.logits) - rows[:stop]).abs().max())
    if worst > checks.CACHE_TOLERANCE:
        raise SystemExit(f"{spec.name}: generate()'s logits differ by {worst:.1e}")


def _spans(ids, inputs, reference):
    family = FAMILIES.get(reference.family)
    if hasattr(family, "spans"):
        return family.spans(ids, inputs, reference.model.config)
    if "picture_tokens" in inputs:
        config = reference.model.config
        pictures, videos = inputs["picture_tokens"], inputs.get("picture_videos", [])
        spans = runs(ids, _image_token(config), [tokens for _, tokens in pictures])
        video = getattr(config, "video_token_id", None)
        video = _image_token(config) if video is None else video
        shown = runs(ids, video, [tokens for _, tokens in videos])
        spans += [[p, n, media + len(pictures), row] for p, n, media, row in shown]
        if hasattr(family, "span_grids"):
            grids = family.span_grids(config, inputs)
            spans = [[*span, *grids[span[2]]] for span in spans]
        return sorted(spans)
    if "pixel_values" not in inputs:
        return []
    count, image = inputs["pixel_values"].shape[0], _image_token(reference.model.config)
    rows = [i for i, token in enumerate(ids) if token == image]
    each = len(rows) // count
    return [[rows[i * each], each] for i in range(count)]


def _case_tensors(spec, index, inputs, logits, stages, ids, rows):
    full = index in spec.full
    kept = stages if full else {k: v for k, v in stages.items() if k == "connector"}
    found = {
        "input_ids": inputs["input_ids"][0],
        "greedy_ids": torch.tensor(ids),
        "chosen_logprobs": rows.log_softmax(-1)[range(STEPS), ids],
        **kept,
    }
    whole = spec.family not in FAMILIES and (full or index == 0)
    found["prefill_logits" if whole else "prefill_tail_logits"] = logits if whole else logits[-_tail(spec):]
    if full or whole:
        found["step_logits"] = rows
    if "qformer_input_ids" in inputs:
        found["qformer_input_ids"] = inputs["qformer_input_ids"][0]
    family = FAMILIES.get(spec.family)
    if family and "picture_tokens" in inputs:
        pixels = family.pixels(inputs, inputs["picture_tokens"])
        found.update(pixels if isinstance(pixels, dict) else {"pixel_values": pixels})
    elif "pixel_values" in inputs and checks.pixel_key(inputs):
        found["pixel_values"] = inputs["pixel_values"]
    if "vit.post_layernorm" in found:  # the same rows under one name are enough
        found.pop("vit.selected", None)
    return {key: value.detach().contiguous().clone() for key, value in found.items()}


def _tail(spec):
    return TAIL if not build.published(spec) else TAIL // 2


def _fp64(spec, folder, inputs, prefix):
    """The exact value as a sum of two float32 tensors."""
    single = Reference(build.load(spec, folder)[0], spec.family).forward(inputs)
    with patched_double(spec.family):
        model = double_precision(build.load(spec, folder)[0])
        doubled = {
            k: v.double() if v.is_floating_point() else v for k, v in model_inputs(inputs).items()
        }
        logits = Reference(model, spec.family).forward(doubled)
    distance = float((logits - single).abs().max())
    if not 0 < distance < 2e-5:
        raise SystemExit(f"{spec.name}: float64 and float32 differ by {distance:.1e}")
    if spec.family in FAMILIES:
        logits = logits[-_tail(spec):]
    high = logits.float()
    return {
        prefix + "fp64.prefill_logits": high,
        prefix + "fp64.prefill_logits_lo": (logits - high.double()).float(),
    }


def _end_ids(model):
    ids = model.generation_config.eos_token_id
    return set(ids if isinstance(ids, list) else [ids])


def _image_token(config):
    token = getattr(config, "image_token_index", None)
    return token if token is not None else getattr(config, "image_token_id", None)


def _write(spec, folder, model, prompter, end_ids, records, tensors):
    image = None if text_only(spec.family) else _image_token(model.config)
    version = importlib.metadata.version
    sizes = prompter.sizes(image) if image is not None else None
    golden = {
        "format": 1,
        "name": spec.name,
        "family": spec.family,
        "library": {
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "pillow": version("pillow"),
            "tokenizers": version("tokenizers"),
            "python": platform.python_version(),
        },
        "attn_implementation": "eager",
        "image_backend": "pil",
        "dtype": "float32",
        "threads": 1,
        "weights_dtype": build.stored_dtype(folder),
        "image_token_id": image,
        "bos_token_id": prompter.tokenizer.bos_token_id,
        "eos_token_ids": sorted(end_ids),
        "tokens_per_image": sizes[0]["tokens"] if sizes else None,
        "sizes": sizes,
        **prompter.video_sizes(),
        "cases": records,
    }
    (folder / "golden.json").write_text(
        json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n"
    )
    save_file(tensors, folder / "golden.safetensors")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
