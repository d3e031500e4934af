"""More requests than places: who waits is answered in order, who finds no place is told when to come again."""

import select

from server_process import Server, read_all, request_bytes, wait_for

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "hi"}]
LONG = {"messages": USER, "ignore_eos": True, "temperature": 0}
ROUTES = {
    CHAT: {"messages": USER, "max_tokens": 1}, CHAT + "?streamed": {"messages": USER, "max_tokens": 1, "stream": True},
    "/v1/completions": {"prompt": "a", "max_tokens": 1}, "/v1/responses": {"input": "a", "max_output_tokens": 1},
    "/v1/messages": {"messages": USER, "max_tokens": 1}, "/v1/embeddings": {"input": "a"},
    "/v1/score": {"prompt": "a", "options": ["b"]},
}


def test_first_come_first_served():
    """Of what waits the answer that came first ends first, though the later ones are shorter."""
    server, waiting = Server("llama_gqa", "--max-num-seqs", "1"), []
    with server.connect() as before:
        before.sendall(request_bytes(CHAT, {**LONG, "n": 30, "stream": True}, "Connection: close\r\n"))
        wait_for(lambda: server.metric("saccade_num_requests_running") == 1)
        for number in range(5):
            prompts = server.metric("saccade_prompt_tokens_total")
            waiting.append(server.connect())
            waiting[-1].sendall(request_bytes(CHAT, {**LONG, "max_tokens": 200 - 10 * number}))
            wait_for(lambda: server.metric("saccade_prompt_tokens_total") > prompts)  # it stands in the queue
        assert read_all(before).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    left = list(waiting)
    while left:
        answered, _, _ = select.select(left, [], [], 30)
        assert answered and set(answered) == set(left[:len(answered)])
        left = left[len(answered):]
    for connection in waiting:
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
        connection.close()
    assert server.wait_idle() and server.stop() == 0


def test_every_route_tells_when_to_come_again():
    """429 before anything is streamed, in the shape of the route; the same requests get through afterwards."""
    server, refused = Server("llama_gqa", "--max-num-seqs", "1", "--max-queue", "1"), {}

    def ask_all():
        """While one answer runs, as long as the model allows, and one waits: there is no other place."""
        with server.connect() as running, server.connect() as waiting:
            for connection in (running, waiting):
                connection.sendall(request_bytes(CHAT, {**LONG, "stream": True}))
                connection.recv(16)  # it has been taken
            for route in ROUTES.keys() - refused:
                response = client.post(route, json=ROUTES[route])
                assert response.status_code in (200, 429), response.text
                if response.status_code == 429:
                    refused[route] = response
        assert server.wait_idle()
        return len(refused) == len(ROUTES)

    with server.client() as client:
        client.get("/health")
        wait_for(ask_all)
    for route, response in refused.items():
        assert int(response.headers["retry-after"]) > 0 and response.headers["content-type"] == "application/json"
        error = response.json()["error"]
        assert "rate_limit" in error["type"] and ("param" in error) == (route != "/v1/messages"), error
        assert server.post(route, ROUTES[route]).status_code == 200
    assert server.stop() == 0
