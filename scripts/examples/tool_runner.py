#!/usr/bin/env python3
"""Lets a model call Python functions until it answers (GPT4Tools, HuggingGPT): tools over the OpenAI API.

  scripts/examples/tool_runner.py http://127.0.0.1:8000/v1 "What is 12 times 13?"
"""

import json
import sys

import openai


def multiply(a: float, b: float) -> float:
    return a * b


FUNCTIONS = {"multiply": multiply}
TOOLS = [{"type": "function", "function": {
    "name": "multiply", "description": "The product of two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                   "required": ["a", "b"], "additionalProperties": False}}}]


def run(client, question, max_turns=8):
    messages = [{"role": "user", "content": question}]
    for _ in range(max_turns):
        completion = client.chat.completions.create(model="", messages=messages, tools=TOOLS, temperature=0)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return answer.content
        messages.append(answer.model_dump(exclude_none=True))
        for call in answer.tool_calls:
            result = FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    raise RuntimeError("the model kept calling tools")


if __name__ == "__main__":
    print(run(openai.OpenAI(base_url=sys.argv[1], api_key="none"), sys.argv[2]))
