"""Tokens/s of Hugging Face generate with a static batch: random prompts of equal length, greedy, no
end token. Prints one JSON line.

    python scripts/bench/transformers_generate.py MODEL_DIR --batch 16 --prompt 128 --output 64 --dtype float32
"""

import argparse
import json
import time

import torch
import transformers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, dtype=getattr(torch, options.dtype)).eval()
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(100, model.config.vocab_size, (options.batch, options.prompt), generator=generator)

    def generate(output):
        return model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                              min_new_tokens=output, max_new_tokens=output, pad_token_id=0)

    with torch.inference_mode():
        generate(2)  # warm-up
        start = time.perf_counter()
        answers = generate(options.output)
        seconds = time.perf_counter() - start
    tokens = options.batch * (answers.shape[1] - options.prompt)
    print(json.dumps({"dtype": options.dtype, "tokens_per_s": tokens / seconds, "seconds": seconds}))


if __name__ == "__main__":
    main()
