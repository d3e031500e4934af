#!/usr/bin/env python3
"""Thought, Action, Observation (ReAct, MM-REACT) on the plain text of a model that was told the form in words.

  scripts/examples/react.py http://127.0.0.1:8000/v1 "Which is larger, the Main or the Rhine?"
"""

import re
import sys

import openai

FORM = """Answer the question. You may look things up. Use this form:
Thought: what to do next
Action: lookup[what to look up]
Observation: the result, which you are given
and at the end
Final Answer: the answer

Question: """
FACTS = {"Rhine": "1233 km", "Main": "525 km"}


def run(client, question, max_turns=8):
    # The answer is one growing text: each turn goes on where the last one stopped. The server finds what it has
    # computed before in its prefix cache.
    text = ""
    for _ in range(max_turns):
        messages = [{"role": "user", "content": FORM + question}]
        extra = {}
        if text:
            messages.append({"role": "assistant", "content": text})
            extra = {"continue_final_message": True, "add_generation_prompt": False}
        text += client.chat.completions.create(model="", messages=messages, stop=["Observation:"], temperature=0,
                                               extra_body=extra).choices[0].message.content
        if final := re.search(r"Final Answer:\s*(.*)", text):
            return final[1]
        action = re.findall(r"Action: lookup\[(.*?)\]", text)[-1]
        text += f"Observation: {FACTS.get(action, 'nothing found')}\n"
    raise RuntimeError("no final answer")


if __name__ == "__main__":
    print(run(openai.OpenAI(base_url=sys.argv[1], api_key="none"), sys.argv[2]))
