"""One client for every server: streams completions, a connection each, and keeps times.

Written on asyncio's sockets alone: beside a server on the same two cores, what a client costs is
part of what is measured, so it does little.
"""

import asyncio
import dataclasses
import json
import random
import time


@dataclasses.dataclass
class Answer:
    start: float
    first: float = 0.0   # time of the first token
    last: float = 0.0
    tokens: int = 0      # of the answer, as the server counts them
    error: str = ""

    @property
    def ttft(self) -> float:
        return self.first - self.start

    @property
    def time_per_token(self) -> float:
        return (self.last - self.first) / max(self.tokens - 1, 1)


async def post(reader, writer, path, body):
    payload = json.dumps(body).encode()
    writer.write(f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
    await writer.drain()
    status = int((await reader.readline()).split()[1])
    chunked, length = False, 0
    while (line := (await reader.readline()).strip().lower()):
        chunked |= line == b"transfer-encoding: chunked"
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    if not chunked:
        yield status, await reader.readexactly(length)
        return
    while (size := int(await reader.readline(), 16)):
        yield status, (await reader.readexactly(size + 2))[:-2]
    await reader.readline()


async def ask(reader, writer, path, body) -> Answer:
    answer = Answer(time.perf_counter())
    pending = b""
    async for status, piece in post(reader, writer, path, body):
        if status != 200:
            answer.error = f"{status}: {piece[:200]!r}"
            continue
        pending += piece
        *events, pending = pending.split(b"\n\n")
        now = time.perf_counter()
        for event in events:
            if not event.startswith(b"data: {"):
                continue
            chunk = json.loads(event[6:])
            if "error" in chunk:
                answer.error = json.dumps(chunk["error"])
            if chunk.get("usage"):
                answer.tokens = chunk["usage"]["completion_tokens"]
            if carries_text(chunk):
                answer.first = answer.first or now
                answer.last = now
    return answer


async def ask_once(port, path, body) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        return await ask(reader, writer, path, body)
    finally:
        writer.close()


def carries_text(chunk) -> bool:
    choices = chunk.get("choices") or []
    if not choices:
        return False
    choice = choices[0]
    text = choice["text"] if "text" in choice else choice.get("delta", {}).get("content")
    return bool(text)


async def closed_loop(port, path, bodies, concurrency) -> tuple[list[Answer], float]:
    """Each of `concurrency` clients asks again as soon as it has its answer. Returns the answers and
    the seconds it took."""
    queue = list(reversed(bodies))
    answers = []

    async def client():
        while queue:
            answers.append(await ask_once(port, path, queue.pop()))

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return answers, time.perf_counter() - start


async def open_loop(port, path, bodies, rate, seed) -> tuple[list[Answer], float]:
    """Requests arrive as a Poisson process of `rate` per second, whatever is still running."""
    rng = random.Random(seed)
    answers = []

    async def one(body):
        answers.append(await ask_once(port, path, body))

    start = time.perf_counter()
    tasks, due = [], 0.0
    for body in bodies:
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(body)))
    await asyncio.gather(*tasks)
    return answers, time.perf_counter() - start


def percentile(values, share) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def summary(answers, seconds) -> dict:
    failed = [a.error for a in answers if a.error]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(answers)} requests failed: {failed[0]}")
    return {
        "requests": len(answers),
        "requests_per_s": len(answers) / seconds,
        "tokens_per_s": sum(a.tokens for a in answers) / seconds,
        "ttft_p50_ms": 1e3 * percentile([a.ttft for a in answers], 0.5),
        "ttft_p99_ms": 1e3 * percentile([a.ttft for a in answers], 0.99),
        "tpot_p50_ms": 1e3 * percentile([a.time_per_token for a in answers], 0.5),
        "tpot_p99_ms": 1e3 * percentile([a.time_per_token for a in answers], 0.99),
    }
