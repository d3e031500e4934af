"""What clients of llama-server ask about a model before they use it, on the routes and in the names of that server."""

import scripted
from server_process import Server


def test_props_tell_the_model(llama, llava, tmp_path):
    props = llama.get("/props").json()
    limit = llama.get("/v1/models").json()["data"][0]["max_model_len"]
    assert props["default_generation_settings"]["n_ctx"] == limit and props["model_alias"] == "tiny"
    assert set(props["default_generation_settings"]["params"]) == {"temperature", "top_k", "top_p", "min_p"}
    assert props["modalities"] == {"vision": False, "audio": False} and props["eos_token"] == "</s>"
    assert llava.get("/props").json()["modalities"]["vision"] is True
    server = Server(scripted.make(tmp_path / "model", {"": "x"}, "{{ messages[0].content }}"), "--api-key", "secret")
    assert server.get("/props").status_code == 401
    authorised = {"headers": {"Authorization": "Bearer secret"}}
    assert server.get("/props", **authorised).json()["chat_template"] == "{{ messages[0].content }}"
    assert server.get("/v1/health").json() == {"status": "ok"}  # as /health, without a key
    assert server.stop() == 0


def test_tokens_in_llama_servers_names(llama):
    plain = llama.post("/tokenize", {"prompt": "a ü", "add_special_tokens": False}).json()["tokens"]
    assert llama.post("/tokenize", {"content": "a ü"}).json()["tokens"] == plain
    special = llama.post("/tokenize", {"content": "a ü", "add_special": True}).json()["tokens"]
    assert special == llama.post("/tokenize", {"prompt": "a ü"}).json()["tokens"] != plain
    pieces = llama.post("/tokenize", {"content": "a ü", "with_pieces": True}).json()["tokens"]
    assert [piece["id"] for piece in pieces] == plain
    assert llama.post("/detokenize", {"tokens": special}).json()["content"].endswith("a ü")


def test_pieces_that_are_no_text_are_bytes(tmp_path):
    server = Server(scripted.make(tmp_path / "model", {"": "x"}))  # every byte is a token
    pieces = server.post("/tokenize", {"content": "aü", "with_pieces": True}).json()["tokens"]
    assert [piece["piece"] for piece in pieces] == ["a", [0xC3], [0xBC]]
    assert server.stop() == 0
