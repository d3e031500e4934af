"""Text files inside of messages: sent along, or once and named by their id. A model reads their text."""

import base64

import anthropic
import openai
import pytest

from conftest import data_url
from server_process import Server, golden

TEXT = "name,age\nAda,36\n"
SHOWN = "people.csv\nname,age\nAda,36\n\n\n"
QUESTION = "How old?"


def url_of(text, kind="text/csv"):
    return f"data:{kind};base64," + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def chat_part(**file):
    return {"type": "file", "file": file}


def ids_of(server, *parts):
    """What a user's message of these parts is to the model."""
    body = {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]}
    response = server.post("/tokenize", body)
    assert response.status_code == 200, response.text
    return response.json()["tokens"]


@pytest.fixture(scope="module")
def client(llama):
    return openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def shown(llama):
    return ids_of(llama, {"type": "text", "text": SHOWN})


def test_a_chat_reads_a_text_file(llama, client, shown):
    assert ids_of(llama, chat_part(file_data=url_of(TEXT), filename="people.csv")) == shown
    for data in (url_of(TEXT, "text/plain"), url_of(TEXT, "application/json"),
                 url_of(TEXT).replace("data:text/csv;base64", "DATA:TEXT/CSV;BASE64"),
                 url_of(TEXT, "text/markdown;charset=utf-8"),
                 url_of("\ufeff" + TEXT), base64.b64encode(TEXT.encode()).decode()):
        assert ids_of(llama, chat_part(file_data=data, filename="people.csv")) == shown
    unnamed = ids_of(llama, chat_part(file_data=url_of(TEXT)))
    assert unnamed == ids_of(llama, {"type": "text", "text": TEXT + "\n\n"})
    answer = client.chat.completions.create(model="tiny", max_tokens=1, messages=[{"role": "user", "content": [
        chat_part(file_data=url_of(TEXT), filename="people.csv"), {"type": "text", "text": QUESTION}]}])
    assert answer.usage.prompt_tokens == len(shown)


@pytest.mark.compatibility("openai (Python)", "files: texts, in chats and responses")
def test_a_text_file_is_sent_once(llama, client, shown):
    file = client.files.create(file=("people.csv", TEXT.encode()), purpose="user_data")
    assert file.purpose == "user_data" and file.bytes == len(TEXT)
    assert ids_of(llama, chat_part(file_id=file.id)) == shown
    for part in ({"type": "input_file", "file_id": file.id},
                 {"type": "input_file", "file_data": url_of(TEXT), "filename": "people.csv"}):
        content = [part, {"type": "input_text", "text": QUESTION}]
        made = client.responses.create(model="tiny", max_output_tokens=1, input=[{"role": "user", "content": content}])
        assert made.usage.input_tokens == len(shown)
    assert client.files.content(file.id).read() == TEXT.encode()
    client.files.delete(file.id)
    gone = llama.post("/v1/chat/completions", {"messages": [{"role": "user", "content": [chat_part(file_id=file.id)]}]})
    assert gone.status_code == 404 and gone.json()["error"]["param"] == "messages[0].content[0].file.file_id"


@pytest.mark.compatibility("anthropic", "files: texts, as documents")
def test_anthropics_documents_may_be_stored_files(llama, shown):
    client = anthropic.Anthropic(base_url=llama.url, api_key="none", max_retries=0)
    file = client.files.upload(file=("people.csv", TEXT.encode(), "text/csv"))
    assert file.mime_type == "text/csv"
    content = [{"type": "document", "source": {"type": "file", "file_id": file.id}}, {"type": "text", "text": QUESTION}]
    counted = client.messages.count_tokens(model="tiny", messages=[{"role": "user", "content": content}])
    assert counted.input_tokens == len(shown)
    client.files.delete(file.id)
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.count_tokens(model="tiny", messages=[{"role": "user", "content": content}])
    assert "messages[0].content[0].source.file_id" in str(error.value)


def test_a_picture_may_come_as_a_file(llava, picture):
    def tokens(part):
        counted = llava.post("/tokenize", {"messages": [{"role": "user", "content": [part]}]}).json()
        return counted["tokens"], counted["image_tokens"]

    shown = tokens({"type": "image_url", "image_url": {"url": picture}})
    assert shown[1] > 0 and tokens(chat_part(file_data=picture, filename="scene.png")) == shown
    client = openai.OpenAI(base_url=llava.url + "/v1", api_key="none", max_retries=0)
    case = golden("llava")["cases"][0]
    data = base64.b64decode(data_url(case["images"][0]).partition(",")[2])
    file = client.files.create(file=("scene.png", data), purpose="assistants")
    assert tokens(chat_part(file_id=file.id))[1] > 0
    client.files.delete(file.id)


WRONG = [
    ({"file_data": url_of(b"%PDF-1.7\n", "application/pdf")}, "file_data", "PDF"),
    ({"file_data": url_of(b"%PDF-1.7\n", "text/plain")}, "file_data", "PDF"),
    ({"file_data": url_of(b"PK\x03\x04\xff\x00", "application/zip")}, "file_data", "neither text"),
    ({"file_data": url_of("a\0b")}, "file_data", "neither text"),
    ({"file_data": url_of("")}, "file_data", "empty"),
    ({"file_data": "data:text/plain,hello"}, "file_data", "base64"),
    ({"file_data": "data:text/plain;base64"}, "file_data", "','"),
    ({"file_data": "!!!!"}, "file_data", "base64"),
    ({"file_data": 5}, "file_data", "string"),
    ({"file_data": url_of(TEXT), "filename": ["a"]}, "filename", "string"),
    ({"filename": "a.txt"}, "file_data", "file_id"),
    ({"file_data": url_of(TEXT), "file_id": "file-x"}, "file_data", "both"),
    ({"file_url": "https://example.com/a.txt"}, "file_url", "not fetched"),
]


@pytest.mark.parametrize("file, field, words", WRONG, ids=range(len(WRONG)))
def test_what_is_no_text_is_refused(llama, file, field, words):
    for path, body, param in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": [chat_part(**file)]}]},
             f"messages[0].content[0].file.{field}"),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file", **file}]}]},
             f"input[0].content[0].{field}")):
        response = llama.post(path, body)
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert error["param"] == param and words in error["message"]


def test_what_may_be_uploaded(llama, client):
    for name, data, purpose, words in (("a.pdf", b"%PDF-1.7", "user_data", "PDF"),
                                       ("a.bin", b"\xff\0", "user_data", "neither"),
                                       ("a.txt", b"words", "vision", "picture"),
                                       ("a.txt", b"words", "batch", "purpose")):
        with pytest.raises(openai.BadRequestError) as error:
            client.files.create(file=(name, data), purpose=purpose)
        assert words in str(error.value) and error.value.param == ("purpose" if purpose == "batch" else "file")


def test_a_stored_text_is_seen_by_its_key_alone(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    server = Server("llama_gqa", "--api-key-file", keys)
    one, two = (openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) for key in ("one", "two"))
    file = one.files.create(file=("a.txt", b"secret"), purpose="user_data")
    ask = {"model": "llama_gqa", "max_tokens": 1,
           "messages": [{"role": "user", "content": [chat_part(file_id=file.id)]}]}
    assert one.chat.completions.create(**ask).usage.prompt_tokens > 0
    with pytest.raises(openai.NotFoundError):
        two.chat.completions.create(**ask)
    assert server.stop() == 0
