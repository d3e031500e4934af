"""Tokens/s of Hugging Face transformers: random prompts of equal length, greedy, no end token. A
static batch through `generate`, or `generate_batch`, its continuous batching. Prints one JSON line.

    python scripts/bench/transformers_generate.py MODEL_DIR --batch 16 --prompt 128 --output 64 --dtype float32
        [--continuous --attention sdpa --max-batch-tokens 512]

--continuous needs transformers 5 on a CPU: 4.57's asks for the memory of a card and fails.
"""

import argparse
import json
import time

import torch
import transformers


def static_batch(model, prompts, output):
    """The tokens that were generated."""
    answers = model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                             min_new_tokens=output, max_new_tokens=output, pad_token_id=0)
    return answers[:, prompts.shape[1]:].tolist()


def continuous_batch(model, prompts, output, max_batch_tokens):
    """The same through generate_batch, in whatever order the answers come."""
    blocks = -(-prompts.shape[0] * (prompts.shape[1] + output) // 256) + prompts.shape[0]
    answers = model.generate_batch(
        prompts.tolist(), warmup=False,
        generation_config=transformers.GenerationConfig(max_new_tokens=output, do_sample=False, eos_token_id=-1,
                                                        pad_token_id=0),
        continuous_batching_config=transformers.ContinuousBatchingConfig(
            page_size=256, num_blocks=blocks, max_batch_tokens=max_batch_tokens))
    if len(answers) != prompts.shape[0]:
        raise SystemExit(f"generate_batch answered {len(answers)} of {prompts.shape[0]} requests")
    return [answer.generated_tokens for answer in answers.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--continuous", action="store_true")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--max-batch-tokens", type=int, default=512, help="of one step, with --continuous")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, dtype=getattr(torch, options.dtype), attn_implementation=options.attention).eval()
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(100, model.config.vocab_size, (options.batch, options.prompt), generator=generator)

    def generate(output):
        if options.continuous:
            return continuous_batch(model, prompts, output, options.max_batch_tokens)
        return static_batch(model, prompts, output)

    with torch.inference_mode():
        generate(2)  # warm-up
        start = time.perf_counter()
        answers = generate(options.output)
        seconds = time.perf_counter() - start
    print(json.dumps({"version": transformers.__version__, "dtype": options.dtype,
                      "tokens_per_s": sum(map(len, answers)) / seconds, "seconds": seconds}))


if __name__ == "__main__":
    main()
