#!/usr/bin/env python3
"""Calls inside of a sentence (ToolFormer): the model writes "[Calculator(400 / 1400) ->", the result is put in, and it
goes on. On /v1/completions with a stop string; what was computed before the call stays in the prefix cache. The prompt
goes on as token ids, so that the text before the call stays the very tokens that the model wrote.

  scripts/examples/toolformer.py http://127.0.0.1:8000/v1 "Out of 1400 participants, 400 (or"
"""

import ast
import operator
import re
import sys

import openai

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def calculate(expression):
    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        return OPERATORS[type(node.op)](value(node.left), value(node.right))

    return f"{value(ast.parse(expression, mode='eval').body):.2f}"


def tokens_of(client, text):
    url = str(client.base_url).removesuffix("v1/") + "tokenize"
    return client.post(url, cast_to=object, body={"prompt": text, "add_special_tokens": False})["tokens"]


def run(client, text, max_calls=8):
    prompt = text
    for _ in range(max_calls):
        made = client.completions.create(model="", prompt=prompt, stop=["->"], max_tokens=200, temperature=0,
                                         extra_body={"return_token_ids": True, "include_stop_str_in_output": True})
        choice = made.choices[0]
        text += choice.text
        call = re.search(r"\[Calculator\(([^\[\]]*)\)\s*->$", text)
        if call is None:
            return text
        result = f" {calculate(call[1])}]"
        text += result
        prompt = choice.prompt_token_ids + choice.token_ids + tokens_of(client, result)
    return text


if __name__ == "__main__":
    print(run(openai.OpenAI(base_url=sys.argv[1], api_key="none"), sys.argv[2]))
