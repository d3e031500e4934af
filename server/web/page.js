"use strict";
const $ = (id) => document.getElementById(id);
const FIELDS = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
const STAGES = ["queue", "media_decode", "media_preprocess", "encode", "prefill", "decode"];

// messages: what is sent, as the API has it; media: parts of the next question; conversation: its name in the store.
const state = {
  messages: [], media: [], running: null, language: "curl",
  key: sessionStorage.getItem("saccade-key") ?? "",
  conversation: sessionStorage.getItem("saccade-conversation") ?? begin(),
};

function begin() {
  const name = String(Math.random());
  sessionStorage.setItem("saccade-conversation", name);
  return name;
}

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- A reload keeps the conversation: pictures are too large for sessionStorage.

function store(mode, use) {
  return new Promise((resolve) => {
    const opening = indexedDB.open("saccade", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("conversations");
    opening.onerror = () => resolve(undefined);  // no store here: the page works without
    opening.onsuccess = () => {
      const transaction = opening.result.transaction("conversations", mode);
      const request = use(transaction.objectStore("conversations"));
      transaction.oncomplete = () => { opening.result.close(); resolve(request.result); };
      transaction.onabort = transaction.onerror = () => resolve(undefined);
    };
  });
}

const keep = () => store("readwrite", (all) => all.put({ messages: state.messages, time: Date.now() },
                                                         state.conversation));

async function restore() {
  const kept = await store("readonly", (all) => all.get(state.conversation));
  state.messages = kept?.messages ?? [];
  state.messages.forEach(show);
  const day = 86400e3;  // of tabs that are closed
  await store("readwrite", (all) => {
    const walk = all.openCursor();
    walk.onsuccess = () => {
      if (!walk.result) return;
      if (Date.now() - walk.result.value.time > day) walk.result.delete();
      walk.result.continue();
    };
    return walk;
  });
}

// ---- What is shown

function shown_part(part, label) {
  if (part.type === "video_url") {
    const video = element("video", { src: part.video_url.url, controls: true, muted: true });
    video.setAttribute("aria-label", label);
    return video;
  }
  return element("img", { src: part.image_url.url, alt: label });
}

const kind_of = (part) => part.type === "video_url" ? "video" : "picture";

function turn(who, text, media = [], error = false) {
  const words = element("div", { className: "words", textContent: text });
  const parts = media.map((part, i) => shown_part(part, `${kind_of(part)} ${i + 1} of the question`));
  const box = element("article", { className: error ? "turn error" : "turn" },
                      [element("b", { textContent: who }), ...parts, words]);
  box.setAttribute("aria-label", who);
  $("chat").append(box);
  box.scrollIntoView({ block: "nearest" });
  return box;
}

function show(message) {
  if (message.role === "assistant") return turn("model", message.content);
  const text = message.content.filter((part) => part.type === "text").map((part) => part.text).join("");
  return turn("you", text, message.content.filter((part) => part.type !== "text"));
}

function list_media() {
  $("media").replaceChildren(...state.media.map((part, i) => {
    const label = `${kind_of(part)} ${i + 1}`;
    const remove = element("button", { type: "button", textContent: "Remove" });
    remove.setAttribute("aria-label", `remove ${label}`);
    remove.onclick = () => { state.media.splice(i, 1); changed(); $("file").focus(); };
    return element("li", {}, [shown_part(part, label), element("small", { className: "tokens" }), remove]);
  }));
}

function stage_table(times) {
  const rows = STAGES.map((stage) => element("tr", {}, [
    element("th", { scope: "row", textContent: stage.replace("_", " ") }),
    element("td", { textContent: `${times[stage + "_ms"].toFixed(1)} ms` })]));
  return element("table", {}, rows);
}

function add_figures(box, usage, times) {
  const details = usage.prompt_tokens_details;
  const speed = times.tokens_per_second ? `, ${times.tokens_per_second.toFixed(1)} tokens/s` : "";
  const summary = `${usage.completion_tokens} tokens${speed}, after ${usage.prompt_tokens} of the prompt ` +
    `(${details.image_tokens} of pictures, ${details.cached_tokens} cached)`;
  box.append(element("details", { className: "figures" }, [element("summary", { textContent: summary }),
                                                           stage_table(times)]));
}

// ---- The request

function question() {
  return { role: "user", content: [...state.media, { type: "text", text: $("text").value }] };
}

function body_of(turns) {
  const system = $("system").value ? [{ role: "system", content: $("system").value }] : [];
  const body = { model: $("name").value || undefined, messages: [...system, ...turns] };
  for (const field of FIELDS) if ($(field).value !== "") body[field] = Number($(field).value);
  return body;
}

async function call(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("the server does not answer");
  }
  if (response.ok) return response;
  const wanted = response.status === 401;
  if (wanted) ask_key();
  const answer = await response.json().catch(() => ({}));
  throw Object.assign(new Error(answer.error?.message ?? `status ${response.status}`), { key: wanted });
}

// `whole`: with the pictures; what is shown has only their beginnings.
function code(whole) {
  const url = new URL("v1", location.href).href;
  const key = state.key ? "$SACCADE_KEY" : "unused";
  const text = JSON.stringify(body_of([...state.messages, question()]), (_, value) =>
    !whole && typeof value === "string" && value.startsWith("data:") ? value.slice(0, 40) + "..." : value, 2);
  if (state.language === "curl") {
    const header = state.key ? ` \\\n  -H "Authorization: Bearer ${key}"` : "";
    return `curl ${url}/chat/completions -H 'Content-Type: application/json'${header} \\\n  --data-binary @- <<'END'\n${
      text}\nEND`;
  }
  if (state.language === "python") {
    const own_key = state.key ? `os.environ["SACCADE_KEY"]` : `"unused"`;
    return `import json\nimport os\n\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${url}", api_key=${own_key})\n` +
      `body = json.loads(${JSON.stringify(JSON.stringify(JSON.parse(text)))})\n` +
      `body["extra_body"] = {name: body.pop(name) for name in ("top_k", "min_p") if name in body}\n` +
      `answer = client.chat.completions.create(**body)\nprint(answer.choices[0].message.content)`;
  }
  const own_key = state.key ? "process.env.SACCADE_KEY" : `"unused"`;
  return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${url}", apiKey: ${own_key} });\n` +
    `const answer = await client.chat.completions.create(${text});\n` +
    `console.log(answer.choices[0].message.content);`;
}

// ---- Tokens of each part, before anything is sent

let counting = 0;
async function count() {
  const mine = ++counting;
  await new Promise((resolve) => setTimeout(resolve, 800));
  if (mine !== counting || state.running) return;
  try {
    const answer = await (await call("tokenize", body_of([...state.messages, question()]))).json();
    if (mine !== counting) return;
    const last = answer.parts.at(-1)?.message;
    const own = answer.parts.filter((part) => part.message === last);
    [...document.querySelectorAll("#media .tokens")].forEach((place, i) => {
      place.textContent = `${own[i].tokens} tokens`;
    });
    $("count").textContent = `${answer.count} tokens with everything before, ${own.at(-1).tokens} of this text`;
  } catch (error) {
    if (mine === counting) $("count").textContent = error.message;
  }
}

function changed() {
  list_media();
  refresh();
}
function refresh() {
  if ($("request").open) $("code").textContent = code(false);
  count();
}

function add_files(files) {
  for (const file of files) {
    const video = file.type.startsWith("video/");
    if (!video && !file.type.startsWith("image/")) continue;
    const reader = new FileReader();
    reader.onload = () => {
      const url = { url: reader.result };
      state.media.push(video ? { type: "video_url", video_url: url } : { type: "image_url", image_url: url });
      changed();
    };
    reader.readAsDataURL(file);
  }
}

// ---- Asking

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const event = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      if (event.startsWith("data: ")) yield event.slice(6);
    }
  }
}

// Reads the answer into its box; what has come is in `answer` however it ends.
async function read_answer(box, answer, signal) {
  const options = { stream: true, stream_options: { include_usage: true }, timings: true };
  const words = box.querySelector(".words");
  for await (const data of events(await call("v1/chat/completions", { ...body_of(state.messages), ...options }, signal))) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    const delta = chunk.choices[0]?.delta ?? {};
    if (delta.reasoning_content) reasoning_of(box).append(delta.reasoning_content);
    if (delta.content) {
      answer.text += delta.content;
      words.append(delta.content);
    }
    if (chunk.choices[0]?.finish_reason === "length") $("status").textContent = "cut: the longest answer was reached";
    if (chunk.usage && chunk.timings) add_figures(box, chunk.usage, chunk.timings);
  }
}

function reasoning_of(box) {
  const there = box.querySelector(".reasoning");
  if (there) return there;
  const made = element("div", { className: "reasoning words" });
  box.querySelector(".words").before(element("details", {}, [element("summary", { textContent: "reasoning" }), made]));
  return made;
}

// An answer that was stopped stays, as far as it came; after an error the question is still in its field.
async function ask() {
  const messages = state.messages;
  const asked = question();
  messages.push(asked);
  const boxes = [show(asked), turn("model", "")];
  boxes[1].setAttribute("aria-busy", "true");  // readers wait until it is whole
  const answer = { text: "" };
  try {
    await read_answer(boxes[1], answer, state.running.signal);
  } catch (error) {
    if (messages !== state.messages) return;  // a new conversation has begun
    if (error.name !== "AbortError") {
      messages.pop();
      boxes.forEach((box) => box.remove());
      throw error;
    }
    $("status").textContent = "stopped";
  } finally {
    boxes[1].removeAttribute("aria-busy");
  }
  messages.push({ role: "assistant", content: answer.text });
  state.media = [];
  $("file").value = $("text").value = "";
  await keep();
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  if (state.running) return;
  document.querySelectorAll(".turn.error").forEach((box) => box.remove());
  state.running = new AbortController();
  $("send").disabled = true;
  $("stop").disabled = false;
  $("status").textContent = "waiting for the answer";
  try {
    await ask();
    if ($("status").textContent.startsWith("waiting")) $("status").textContent = "";
  } catch (error) {
    $("status").textContent = "";
    if (!error.key) turn("error", error.message, [], true).setAttribute("role", "alert");
  } finally {
    state.running = null;
    $("send").disabled = false;
    $("stop").disabled = true;
    changed();
    if ($("door").hidden) $("text").focus();
  }
};

$("stop").onclick = () => state.running?.abort();
$("clear").onclick = () => {
  state.messages = [];
  state.running?.abort();
  $("chat").replaceChildren();
  $("status").textContent = "";
  const old = state.conversation;
  state.conversation = begin();
  store("readwrite", (all) => all.delete(old));
  refresh();
};
document.onkeydown = (event) => {
  if (event.key === "Escape") state.running?.abort();
};
$("text").onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
};

// ---- Files

$("file").onchange = () => add_files($("file").files);
document.onpaste = (event) => add_files(event.clipboardData.files);
for (const kind of ["dragover", "dragleave", "drop"]) {  // anywhere: a missed drop would leave the page
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add_files(event.dataTransfer.files);
  });
}

// ---- Code

for (const button of document.querySelectorAll("[data-language]")) {
  button.onclick = () => {
    state.language = button.dataset.language;
    for (const other of document.querySelectorAll("[data-language]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    refresh();
  };
}
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText(code(true));
    $("status").textContent = "copied";
  } catch {  // only pages of this machine or behind TLS may
    $("code").textContent = code(true);
    getSelection().selectAllChildren($("code"));
    $("status").textContent = "selected: copy it with Ctrl+C";
  }
};
$("request").ontoggle = refresh;
$("form").oninput = refresh;

// ---- The key, and what is served

function ask_key() {
  $("door").hidden = false;
  $("key").focus();
}

async function load_models() {
  const answer = await (await call("v1/models")).json();
  $("door").hidden = true;
  $("model").textContent = answer.data[0].id;
  $("name").replaceChildren(...answer.data.map((model) => new Option(model.id, model.id)));
  count();
}

$("door").onsubmit = async (event) => {
  event.preventDefault();
  state.key = $("key").value;
  sessionStorage.setItem("saccade-key", state.key);
  try {
    await load_models();
    $("status").textContent = "";
    $("text").focus();
  } catch (error) {
    $("status").textContent = error.message;
  }
};

restore().then(load_models).catch((error) => { $("status").textContent = error.message; });
