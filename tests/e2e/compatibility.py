"""docs/compatibility.md: what the tests of this folder prove. SACCADE_WRITE_DOCS=1 pytest tests/e2e writes it anew."""

import collections
import importlib.metadata
import json
import pathlib

NODE = pathlib.Path(__file__).parent / "node"
PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"

# What users of other servers asked for (their issue numbers), how it is here, and the tests that prove it.
WISHES = [
    ("time per media stage (vllm#47860, sglang#38676)",
     "`/metrics` has a histogram per stage; `timings: true` puts them into an answer",
     ["test_images.py::test_every_media_stage_is_timed", "test_fields.py::test_timings_name_every_stage"]),
    ("a bad picture fails its own request alone (vllm#55546, llama.cpp#13414)",
     "400 with the path of the picture; the requests beside it go on",
     ["test_images.py::test_a_bad_picture_fails_alone", "test_images.py::test_a_bad_picture_names_its_place"]),
    ("backpressure (vllm#2901, #41250)", "a bounded queue, 429 with `Retry-After`",
     ["test_limits.py::test_the_queue_is_bounded"]),
    ("keepalive while queued (vllm#47647)", "SSE comments every `--sse-keepalive` seconds",
     ["test_http.py::test_silent_streams_get_comments"]),
    ("send a picture once (llama.cpp#18686, sglang#11785)",
     "`POST /v1/files`, then its id or its SHA-256; equal pictures are encoded once in any case",
     ["test_files.py::test_a_picture_is_sent_once_and_referred_to",
      "test_files.py::test_files_are_private_bounded_and_expire"]),
    ("count a picture's tokens before sending (vllm#20778, ollama#2058)",
     "`POST /tokenize` with messages counts every part without decoding; usage tells them apart",
     ["test_images.py::test_tokenize_counts_pictures_without_decoding"]),
    ("cancel in every stage (llama.cpp#24496, vllm#54947)", "a closed connection frees everything, queued or running",
     ["test_lifecycle.py::test_leaving_cancels_and_frees_everything"]),
    ("memory that does not grow with pictures (llama.cpp#27725, sglang#8902)", "all buffers belong to their request",
     ["test_images.py::test_memory_does_not_grow_with_pictures"]),
    ("a body limit fit for pictures, a clear 413 (TGI#1802)", "64 MiB, `--max-body-size`; gzip counts inflated",
     ["test_limits.py::test_bodies_beyond_the_limit", "test_http.py::test_compressed_bodies"]),
    ("frames and detail per request (Qwen3-VL#1789, #1795)",
     "`num_frames`, `fps`, `start`, `end` of one video or all; `detail: low` shows the overview alone",
     ["test_videos.py::test_which_frames_are_looked_at", "test_videos.py::test_fields_for_all_videos_of_a_request",
      "test_videos.py::test_detail_low_makes_one_tile"]),
    ("pictures by URL (ollama#4474)",
     "`--allow-media-domain`, guarded: public addresses only, pinned, redirects checked, bounded",
     ["test_files.py::test_a_picture_is_fetched", "test_files.py::test_what_goes_wrong_is_the_requests_own",
      "test_files.py::test_other_hosts_and_odd_urls_are_refused"]),
    ("API keys everywhere (TRT-LLM#9950, TGI#1372)", "checked on every route but `/health` and the page",
     ["test_limits.py::test_keys"]),
    ("small, on a CPU (vllm#7609, #17163)", "one program, no Python; with every library it loads below 1 GB",
     ["test_footprint.py::test_the_program_and_all_it_loads_are_below_a_gigabyte"]),
    ("LLaVA-1.5 without a chat template (vllm#9870)", "built in",
     ["test_footprint.py::test_llava_15_has_its_template_built_in"]),
    ("InstructBLIP served (LAVIS#431)", "the reference's ids and log-probabilities",
     ["test_golden.py::test_chat_equals_reference"]),
    ("drain (vllm#24885)", "SIGTERM finishes what runs, 503 for what comes",
     ["test_lifecycle.py::test_drain_finishes_what_runs_and_refuses_what_comes"]),
    ("many pictures in one dialogue (llama.cpp#14111)", "up to `--max-images`",
     ["test_images.py::test_many_pictures_in_one_dialogue"]),
    ("limits per key (nobody)", "requests, tokens and pixels a minute, streams at a time; `x-ratelimit-*`",
     ["test_key_limits.py::test_requests_a_minute", "test_key_limits.py::test_counting_and_files_are_requests_too",
      "test_key_limits.py::test_tokens_a_minute", "test_key_limits.py::test_pixels_a_minute",
      "test_key_limits.py::test_streams_at_a_time"]),
]

# What clients were seen to break on elsewhere, and the tests that hold it here.
HABITS = [
    ("every answer, chunk, event and error has the members its description requires (TensorRT-Edge-LLM#93, "
     "mlcommons/endpoints#133, vllm#12886)",
     ["test_shapes.py::test_chats", "test_shapes.py::test_chats_with_tools", "test_shapes.py::test_completions",
      "test_shapes.py::test_other_routes", "test_shapes.py::test_responses", "test_shapes.py::test_messages",
      "test_shapes.py::test_errors"]),
    ("the first chunk of a choice has the role, no other has; one id in all (tensorzero#1265, open-webui#23922, "
     "MiniMax-M2.5#2)", ["test_shapes.py::test_chats"]),
    ("usage when asked for, in a chunk with `choices: []` (ROCm/ATOM#1711, apfel#100)",
     ["test_shapes.py::test_chats", "test_chat.py::test_usage_comes_when_asked_for"]),
    ("no `tool_calls: null`, a call's id, type and name once, then arguments alone (vercel/ai#1865, #12901, "
     "opencodex#1754)", ["test_shapes.py::test_chats_with_tools", "test_tools.py::test_streamed_calls"]),
    ("`developer` is a system message (ogx#6069)", ["test_chat.py::test_a_developer_is_a_system_message"]),
    ("`max_completion_tokens` counts (llama-cpp-python#1907)", ["test_chat.py::test_max_completion_tokens_wins"]),
    ("null is absent, in every optional field (TGI#2421)", ["test_errors.py::test_null_is_absent_everywhere"]),
    ("a chat may be as long as the model takes; no default of 16 tokens",
     ["test_chat.py::test_default_length_is_what_the_model_leaves"]),
    ("`detail: auto`, and a picture's URL as a plain string (chatlas#20)",
     ["test_clients.py::test_openai_sync", "test_images.py::test_a_plain_string_url_is_accepted"]),
    ("SSE comments in a long silence (Node's undici gives up after 300 s)",
     ["test_http.py::test_silent_streams_get_comments"]),
    ("an error after 200 is an event, and the stream ends without [DONE]",
     ["test_lifecycle.py::test_drain_timeout_ends_what_still_runs"]),
    ("400 for what is wrong, never 422; 401, 404, 405, 413, 429 with Retry-After, 503",
     ["test_errors.py::test_wrong_request", "test_limits.py::test_keys", "test_limits.py::test_bodies_beyond_the_limit",
      "test_limits.py::test_the_queue_is_bounded", "test_http.py::test_methods_are_told",
      "test_lifecycle.py::test_drain_finishes_what_runs_and_refuses_what_comes"]),
    ("a wrong value is a 400 with the path of its field, never a 200 or a 500 (llama-server: 32 and 6 of 62)",
     ["test_errors.py::test_wrong_request", "test_parameters.py::test_a_parameter_is_taken_or_refused_by_name"]),
    ("fields of other servers that would change the answer are refused by name, not ignored",
     ["test_foreign_fields.py::test_what_would_change_the_answer_is_refused_by_name"]),
    ("the beginning of a stop string that ends an answer is part of it (llama-server swallows it)",
     ["test_llama_server_gaps.py::test_the_beginning_of_a_stop_string_at_the_end_is_text"]),
    ("`usage` of `n` > 1 counts every choice, in one stream `created` is one (llama-server)",
     ["test_fields.py::test_usage_sums_the_choices_and_counts_cached_tokens_once", "test_shapes.py::test_chats"]),
    ("`tool_choice` by name is that tool (llama-server takes it for `auto`)",
     ["test_tools.py::test_forced_calls_of_a_random_model_are_valid"]),
    ("`pattern`, `format`, bounds and `multipleOf` of a schema hold (llama-server drops them)",
     ["test_llama_server_gaps.py::test_every_keyword_of_a_schema_holds",
      "test_structured_output.py::test_random_schemas_give_valid_answers"]),
    ("CORS for listed origins alone, without credentials; 405 with `Allow` (llama-server)",
     ["test_http.py::test_allowed_origins_may_use_the_server", "test_http.py::test_other_origins_may_not",
      "test_http.py::test_methods_are_told"]),
    ("a prompt that is too long says `context_length_exceeded`, by which agents cut their history",
     ["test_client_tools.py::test_a_prompt_that_is_too_long_is_known_as_such"]),
]

HEAD = """# Compatibility

Written by the test run (`tests/e2e/compatibility.py`): every row stands for tests that passed against the real server
over HTTP. A row that stops being true turns the tests red; those of Node's clients and of
Chromium are passed over where npm or Chromium is missing.

## Clients
"""


def node_packages():
    """{name: version} of Node's clients."""
    return json.loads((NODE / "package.json").read_text())["dependencies"]


def versions():
    """Of the clients, as the tests use them."""
    locked = node_packages()
    return {"openai (Python)": importlib.metadata.version("openai"),
            "anthropic": importlib.metadata.version("anthropic"),
            "langchain-openai": importlib.metadata.version("langchain-openai"),
            "litellm": importlib.metadata.version("litellm"),
            "openai (Node)": locked["openai"],
            "Vercel AI SDK": ", ".join(f"{name} {locked[name]}" for name in
                                       ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible")),
            "curl": "of the system", "Chromium": "of the system"}


def is_whole(items):
    """Whether these are the tests of the whole folder."""
    ran = {pathlib.Path(item.fspath).name for item in items}
    return ran == {path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")}


def claims(items):
    """{client: [(feature, test)]} of the marked tests."""
    found = collections.defaultdict(list)
    for item in items:
        for mark in item.iter_markers("compatibility"):
            client, feature = mark.args
            entry = (feature, item.nodeid.rsplit("/", 1)[-1].split("[")[0])
            if entry not in found[client]:
                found[client].append(entry)
    return found


def proofs(tests):
    return ", ".join(f"`{test}`" for test in tests)


def render(items, versions):
    lines = [HEAD, "| client | version | what works | test |", "|---|---|---|---|"]
    for client, features in sorted(claims(items).items(), key=lambda pair: pair[0].lower()):
        for feature, test in features:
            lines.append(f"| {client} | {versions[client]} | {feature} | `{test}` |")
    lines += ["", "## Asked for elsewhere", "", "| wish | here | proof |", "|---|---|---|"]
    for wish, here, tests in WISHES:
        lines.append(f"| {wish} | {here} | {proofs(tests)} |")
    lines += ["", "## What clients break on", "", "| here | proof |", "|---|---|"]
    lines += [f"| {habit} | {proofs(tests)} |" for habit, tests in HABITS]
    return "\n".join(lines) + "\n"
