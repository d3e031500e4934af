"""/v1/responses: items of stored responses, named by their ids in place of the items themselves."""

import openai
import pytest

from server_process import Server

EXTRA = {"extra_body": {"ignore_eos": True}, "temperature": 0}
ASK = {"model": "tiny", "max_output_tokens": 4, **EXTRA}


@pytest.fixture(scope="module")
def client(llama):
    return openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)


def refer(item):
    return {"type": "item_reference", "id": item.id}


@pytest.mark.compatibility("openai (Python)", "responses: item_reference")
def test_a_reference_is_the_item_it_names(client):
    first = client.responses.create(input="Hello", **ASK)
    said = client.responses.input_items.list(first.id).data[0]
    whole = [{"role": "user", "content": "Hello"},
             {"role": "assistant", "content": first.output_text}, {"role": "user", "content": "And now?"}]
    wanted = client.responses.create(input=whole, **ASK)
    for before in ([refer(said), refer(first.output[0])], [{"id": said.id}, {"id": first.output[0].id, "type": None}]):
        made = client.responses.create(input=[*before, whole[2]], **ASK)
        assert (made.output_text, made.usage.input_tokens) == (wanted.output_text, wanted.usage.input_tokens)
    # What they named is kept with the response that named it.
    kept = client.responses.input_items.list(made.id, order="asc").data
    assert [item.id for item in kept[:2]] == [said.id, first.output[0].id]
    client.responses.delete(first.id)
    assert client.responses.create(input=[refer(first.output[0]), whole[2]], **ASK).usage.input_tokens > 0
    counted = client.responses.input_tokens.count(model="tiny", input=[*[refer(item) for item in kept[:2]], whole[2]])
    assert counted.input_tokens == wanted.usage.input_tokens


def test_calls_and_their_results_are_items(client):
    items = [{"role": "user", "content": "Weather?"},
             {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
             {"type": "function_call_output", "call_id": "c1", "output": "rain"}]
    first = client.responses.create(input=items, **ASK)
    kept = client.responses.input_items.list(first.id, order="asc").data
    assert [item.id.partition("_")[0] for item in kept] == ["msg", "fc", "fco"]
    assert kept[0].content[0].text == "Weather?" and kept[0].content[0].type == "input_text"
    again = client.responses.create(input=[refer(item) for item in kept], **ASK)
    assert (again.output_text, again.usage.input_tokens) == (first.output_text, first.usage.input_tokens)


def test_what_is_not_there_is_named(client, llama):
    unkept = client.responses.create(input="Hello", store=False, **ASK)
    for name in (unkept.output[0].id, "msg_nowhere"):
        with pytest.raises(openai.NotFoundError) as error:
            client.responses.create(input=[{"role": "user", "content": "a"}, {"type": "item_reference", "id": name}],
                                    **ASK)
        assert error.value.param == "input[1].id" and name in str(error.value)
    for wrong in ({"type": "item_reference"}, {"type": "item_reference", "id": 5}):
        response = llama.post("/v1/responses", {"input": [wrong]})
        assert response.status_code == 400 and response.json()["error"]["param"] == "input[0].id"


def test_items_are_kept_for_their_key_and_as_long_as_their_response(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    server = Server("llama_gqa", "--max-responses", "2", "--api-key-file", keys)
    one, two = (openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) for key in ("one", "two"))

    def ask(client, *items):
        return client.responses.create(model="llama_gqa", max_output_tokens=1,
                                       input=[*items, {"role": "user", "content": "a"}])

    item = ask(one).output[0]
    with pytest.raises(openai.NotFoundError):
        ask(two, refer(item))
    for _ in range(3):  # what is referred to stays in use; what refers to it keeps it, too
        ask(one, refer(item))
    for _ in range(2):
        ask(one)
    with pytest.raises(openai.NotFoundError):
        ask(one, refer(item))
    assert server.stop() == 0
