"""Greedy answers through HTTP equal those of the reference library."""

import asyncio

import openai
import pytest

from conftest import blank_png, with_data_urls
from server_process import Server, golden

GREEDY = {"temperature": 0, "max_tokens": 16, "logprobs": True, "top_logprobs": 5}


def cases(name):
    return [case for case in golden(name)["cases"] if case["messages"] and case.get("greedy_ids")]


def check_answer(answer, case, model=""):
    choice = answer.choices[0]
    # What the last tokens leave unfinished of a character is not shown; the reference shows U+FFFD.
    shown = choice.message.content
    assert case["text"].startswith(shown) and not case["text"][len(shown):].strip("\ufffd")
    assert choice.finish_reason == "length"
    assert answer.usage.prompt_tokens == len(case["input_ids"])
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == len(case["input_ids"]) + 16
    # A picture that is looked at from within has one token, its place.
    image_tokens = sum(1 if len(span) > 6 else span[1] for span in case["spans"])
    image_tokens = 0 if model == "llama_adapter" else image_tokens  # nothing stands for it
    assert answer.usage.prompt_tokens_details.image_tokens == image_tokens
    entries = choice.logprobs.content
    assert len(entries) == 16
    for entry, expected, top in zip(entries, case["chosen_logprobs"], case["top_logprobs"]):
        assert entry.logprob == pytest.approx(expected, abs=1e-4)
        assert [t.logprob for t in entry.top_logprobs] == pytest.approx([p for _, p in top], abs=1e-4)
        assert entry.token == entry.top_logprobs[0].token


OF_VIDEOS = ["instructblipvideo", "smolvlm", "qwen2_vl", "qwen2_5_vl"]
CONVERTED = ["minigpt_v2", "openflamingo", "llama_adapter", "medvint", "lavin"]
LLAVA_LINE = ["llava_siglip", "llava_next", "llava_next_video", "llava_onevision", "video_llava"]


@pytest.mark.parametrize("model", ["llama", "llava", "instructblip", "blip2", "idefics", "idefics_plain", "idefics3",
                                   *LLAVA_LINE, *OF_VIDEOS, *CONVERTED])
def test_chat_equals_reference(model, request):
    server = request.getfixturevalue(model)
    name = {"llama": "llama_gqa", "blip2": "blip2_opt"}.get(model, model)
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
    for case in cases(name):
        answer = client.chat.completions.create(
            model="", messages=with_data_urls(case["messages"]), extra_body={"ignore_eos": True}, **GREEDY)
        check_answer(answer, case, model)


def test_another_question_to_a_picture_skips_the_tower():
    server = Server("instructblip")
    first, second = cases("instructblip")[:2]
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client:
        for case in (first, second, first):
            answer = client.chat.completions.create(model="", messages=with_data_urls(case["messages"]), **GREEDY,
                                                    extra_body={"ignore_eos": True})
            check_answer(answer, case)
    assert server.metric("saccade_tower_cache_hits_total") == 1
    assert server.metric("saccade_encoder_cache_queries_total") == 2  # the third found its prompt's blocks
    assert server.stop() == 0


def test_all_cases_at_once_equal_reference(llava):
    """The same answers when every case runs in one batch, streamed, twice."""

    async def ask(client, case):
        text, usage = "", None
        stream = await client.chat.completions.create(
            model="", messages=with_data_urls(case["messages"]), temperature=0, max_tokens=16, stream=True,
            stream_options={"include_usage": True}, extra_body={"ignore_eos": True})
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            usage = chunk.usage or usage
        assert text == case["text"]
        assert usage.prompt_tokens == len(case["input_ids"])
        return usage.prompt_tokens_details.cached_tokens

    async def main():
        async with openai.AsyncOpenAI(base_url=llava.url + "/v1", api_key="none", max_retries=0) as client:
            await asyncio.gather(*(ask(client, case) for case in cases("llava")))
            return await asyncio.gather(*(ask(client, case) for case in cases("llava")))

    assert any(cached > 0 for cached in asyncio.run(main()))
    assert llava.metric("saccade_encoder_cache_hits_total") > 0


def test_completion_equals_reference(llama):
    client = openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)
    raw = [case for case in golden("llama_gqa")["cases"] if not case["messages"] and case.get("greedy_ids")]
    assert raw
    for case in raw:
        for prompt in (case["prompt"], case["input_ids"]):
            answer = client.completions.create(model="tiny", prompt=prompt, temperature=0, max_tokens=16,
                                               logprobs=2, extra_body={"ignore_eos": True})
            assert answer.choices[0].text == case["text_continued"]
            assert answer.usage.prompt_tokens == len(case["input_ids"])
            logprobs = answer.choices[0].logprobs
            assert logprobs.token_logprobs == pytest.approx(case["chosen_logprobs"], abs=1e-4)
            assert len(logprobs.tokens) == len(logprobs.top_logprobs) == len(logprobs.text_offset) == 16


def test_a_question_changes_the_answer_of_the_connector(instructblip):
    same_picture = cases("instructblip")[:2]
    assert same_picture[0]["images"] == same_picture[1]["images"]
    assert same_picture[0]["text"] != same_picture[1]["text"]


def test_prompt_tokens_of_many_sizes(llava_next):
    """/tokenize counts what the reference processor makes of pictures of 40 sizes, from their headers alone."""
    sizes = golden("llava_next")["sizes"]
    assert len(sizes) == 40
    for size in sizes:
        url = blank_png(size["width"], size["height"])
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "a"}]
        answer = llava_next.post("/tokenize", {"messages": [{"role": "user", "content": content}]}).json()
        assert answer["image_tokens"] == size["tokens"], size
        assert answer["count"] == size["prompt_tokens"], size
