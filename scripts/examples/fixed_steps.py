#!/usr/bin/env python3
"""A fixed number of reasoning steps, then the answer (Multimodal-CoT's rationale and answer; chains as in CoT-PT).

  scripts/examples/fixed_steps.py http://127.0.0.1:8000/v1 "Is the circle left of the square?" 2 [PICTURE]

Every step goes on with the text so far, which the server finds in its prefix cache: computed are the last, unfilled
block of the cache and what is new. The last line says how much that was.
"""

import base64
import sys

import openai


def run(client, content, steps):
    """The reasoning steps, the answer, and the prompt tokens that each request had to compute."""
    text, segments, computed = "", [], []
    for step in range(1, steps + 2):
        text += f"Step {step}:" if step <= steps else "Answer:"
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": text}]
        answer = client.chat.completions.create(
            model="", messages=messages, temperature=0, max_tokens=200, stop=["\n"],
            extra_body={"continue_final_message": True, "add_generation_prompt": False})
        said = answer.choices[0].message.content
        text += said + "\n"
        segments.append(said.strip())
        computed.append(answer.usage.prompt_tokens - answer.usage.prompt_tokens_details.cached_tokens)
    return segments[:-1], segments[-1], computed


def content_of(question, path=None):
    if path is None:
        return question
    with open(path, "rb") as file:
        url = "data:image/png;base64," + base64.b64encode(file.read()).decode()
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]


if __name__ == "__main__":
    made = run(openai.OpenAI(base_url=sys.argv[1], api_key="none"), content_of(sys.argv[2], *sys.argv[4:]),
               int(sys.argv[3]))
    for number, segment in enumerate(made[0], 1):
        print(f"Step {number}: {segment}")
    print(f"Answer: {made[1]}")
    print("prompt tokens computed:", *made[2])
