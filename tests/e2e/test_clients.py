"""Official clients against the real server. What works is written into docs/compatibility.md (compatibility.py)."""

import asyncio
import json
import subprocess

import openai
import pytest

from conftest import data_url
from server_process import golden

CASE = golden("llava")["cases"][0]
QUESTION = "What is in the picture?"
EXTRA = {"extra_body": {"ignore_eos": True}, "temperature": 0, "max_tokens": 16}
TEXT = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def url(llava):
    return llava.url + "/v1"


@pytest.fixture(scope="module")
def expected(llava):
    """The raw answers that every client has to show: to text, and to a picture."""
    def ask(content):
        body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 16,
                "ignore_eos": True}
        return llava.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]

    return {"text": ask(QUESTION), "picture": ask(pictured())}


def pictured():
    return [{"type": "image_url", "image_url": {"url": data_url("images/scene.png"), "detail": "auto"}},
            {"type": "text", "text": QUESTION}]


@pytest.mark.compatibility("openai (Python)", "chat, pictures")
def test_openai_sync(url, expected):
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    for messages, key in ((TEXT, "text"), ([{"role": "user", "content": pictured()}], "picture")):
        answer = client.chat.completions.create(model="llava", messages=messages, **EXTRA)
        assert answer.choices[0].message.content == expected[key]


@pytest.mark.compatibility("openai (Python)", "streams, the stream reader")
def test_openai_stream(url, expected):
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    chunks = list(client.chat.completions.create(model="llava", messages=TEXT, stream=True, **EXTRA))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected["text"]
    stop = expected["text"][4:7]  # the reader wants an answer that came to its end
    with client.chat.completions.stream(model="llava", messages=TEXT, stop=stop, **EXTRA) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion().choices[0]
        assert final.message.content == expected["text"][: expected["text"].find(stop)]
        assert final.finish_reason == "stop"


@pytest.mark.compatibility("openai (Python)", "async, sixteen at a time")
def test_openai_async(url, expected):
    async def ask():
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            async def one():
                answer = await client.chat.completions.create(model="llava", messages=TEXT, **EXTRA)
                return answer.choices[0].message.content

            async def streamed():
                stream = await client.chat.completions.create(model="llava", messages=TEXT, stream=True, **EXTRA)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*[one() for _ in range(8)], *[streamed() for _ in range(8)])

    assert asyncio.run(ask()) == [expected["text"]] * 16


@pytest.mark.compatibility("langchain-openai", "invoke, stream, batch, pictures, embeddings")
def test_langchain(url, expected):
    from langchain_core.messages import HumanMessage
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    chat = ChatOpenAI(base_url=url, api_key="none", model="llava", temperature=0, max_tokens=16, max_retries=0,
                      extra_body={"ignore_eos": True})
    answer = chat.invoke(QUESTION)
    assert answer.content == expected["text"] and answer.usage_metadata["output_tokens"] == 16
    assert "".join(chunk.content for chunk in chat.stream(QUESTION)) == expected["text"]
    assert chat.invoke([HumanMessage(content=pictured())]).content == expected["picture"]
    assert [made.content for made in chat.batch([QUESTION] * 3)] == [expected["text"]] * 3
    embeddings = OpenAIEmbeddings(base_url=url, api_key="none", model="llava", check_embedding_ctx_length=False)
    vectors = embeddings.embed_documents(["a", "b"])
    assert len(vectors) == 2 and len(vectors[0]) == len(vectors[1]) > 0


@pytest.mark.compatibility("litellm", "completion, streams, pictures, embeddings, errors, Anthropic's messages")
def test_litellm(url, expected, monkeypatch):
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # asks nobody else
    import litellm

    fixed = {"api_base": url, "api_key": "none", "temperature": 0, "max_tokens": 16, "ignore_eos": True,
             "num_retries": 0}
    for messages, key in ((TEXT, "text"), ([{"role": "user", "content": pictured()}], "picture")):
        answer = litellm.completion(model="openai/llava", messages=messages, **fixed)
        assert answer.choices[0].message.content == expected[key] and answer.usage.completion_tokens == 16
    chunks = litellm.completion(model="openai/llava", messages=TEXT, stream=True, **fixed)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected["text"]
    vectors = litellm.embedding(model="openai/llava", input=["a", "b"], api_base=url, api_key="none").data
    assert len(vectors) == 2 and len(vectors[0]["embedding"]) > 0
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(model="openai/llava", messages=TEXT, **{**fixed, "temperature": 9})
    message = litellm.completion(model="anthropic/llava", messages=TEXT,
                                 **{**fixed, "api_base": url.removesuffix("/v1")})
    assert message.choices[0].message.content == expected["text"]


@pytest.mark.compatibility("curl", "chat, streams")
def test_curl(url, expected):
    body = {"messages": TEXT, "temperature": 0, "max_tokens": 16, "ignore_eos": True}
    command = ["curl", "-sS", "--max-time", "30", url + "/chat/completions", "-H", "Content-Type: application/json",
               "-d"]
    whole = subprocess.run([*command, json.dumps(body)], capture_output=True, check=True).stdout
    assert json.loads(whole)["choices"][0]["message"]["content"] == expected["text"]
    streamed = subprocess.run([*command, json.dumps({**body, "stream": True})], capture_output=True, check=True).stdout
    assert streamed.endswith(b"data: [DONE]\n\n")


@pytest.fixture(scope="module")
def node(run_node, url, picture):
    return run_node("clients.mjs", url, "llava", QUESTION, picture)


@pytest.mark.compatibility("openai (Node)", "chat, pictures, streams, stream reader, responses, embeddings, errors")
def test_openai_node(node, expected):
    seen = node["openai"]
    assert seen["chat"] == seen["stream"] == seen["reader"] == seen["response"] == expected["text"]
    assert seen["picture"] == expected["picture"] and seen["usage"] == 16
    assert seen["models"] == ["llava"] and seen["embedding"] > 0
    assert seen["error"] == {"status": 400, "param": "messages", "type": "BadRequestError"}


@pytest.mark.compatibility("Vercel AI SDK", "generateText, streamText, pictures, embed")
def test_vercel(node, expected):
    seen = node["vercel"]
    assert seen["chat"] == seen["stream"] == expected["text"] and seen["picture"] == expected["picture"]
    assert seen["finish"] == "length" and seen["usage"] == 16 and seen["embedding"] > 0
