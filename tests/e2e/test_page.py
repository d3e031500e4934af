"""The page at / in a real Chromium. SACCADE_SCREENSHOT=1 makes docs/images/page.png anew."""

import base64
import os
import shutil
import subprocess

import pytest

import scripted
from server_process import GOLDEN, ROOT, Server, golden

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")

SCENE = GOLDEN / "images" / "scene.png"
LONG = "word " * 1500
SCRIPTS = {"": "Hello there.", "Long?": LONG, "Why?": "<think>because</think>So."}
TEMPLATE = scripted.PLAIN + "{% if false %}<think>{% endif %}"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        except playwright.Error as error:
            pytest.skip(f"Chromium does not start here: {error}")
        yield made
        made.close()


@pytest.fixture
def visit(browser):
    """Opens a server's page in a fresh profile; whatever the page's console complains about fails the test."""
    contexts, complaints = [], []

    def opened(server, **options):
        context = browser.new_context(base_url=server.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text)
                if message.type == "error" and "status of 4" not in message.text else None)
        page.goto("/")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    server = Server(scripted.make(tmp_path_factory.mktemp("page"), SCRIPTS, TEMPLATE))
    yield server
    assert server.stop() == 0


def question_field(page):
    return page.get_by_role("textbox", name="Question")


def ask(page, text):
    question_field(page).fill(text)
    page.get_by_role("button", name="Ask").click()


def answers(page):
    return page.get_by_role("article", name="model")


def answered(page, number=1):
    """Until so many answers are whole; the text of the last one."""
    page.locator(f".turn:has(.figures) >> nth={number - 1}").wait_for()
    return answers(page).nth(number - 1).locator(".words").last.inner_text()


@pytest.mark.compatibility("Chromium", "the page: pictures, tokens of each part, times of each stage")
def test_a_question_about_a_picture(visit, llava):
    page = visit(llava)
    page.get_by_label("Pictures and videos").set_input_files(SCENE)
    page.get_by_role("img", name="picture 1", exact=True).wait_for()
    case = golden("llava")["cases"][0]
    question = case["messages"][-1]["content"][-1]["text"]
    question_field(page).fill(question)
    page.get_by_text("Settings").click()
    page.get_by_label("Longest answer").fill("16")
    page.locator("#media .tokens:not(:empty)").wait_for()
    per_picture = page.locator("#media .tokens").inner_text()
    page.get_by_role("button", name="Ask").click()
    text = answered(page)
    body = llava.post("/v1/chat/completions", {"messages": [{"role": "user", "content": page.evaluate(
        "state.messages[0].content")}], "temperature": 0, "max_tokens": 16}).json()
    assert text.strip() == body["choices"][0]["message"]["content"].strip()
    figures = page.locator(".figures")
    details = body["usage"]["prompt_tokens_details"]
    assert per_picture == f"{details['image_tokens']} tokens"
    count = f"after {body['usage']['prompt_tokens']} of the prompt ({details['image_tokens']} of pictures"
    assert count in figures.inner_text()
    figures.locator("summary").click()
    assert [row.inner_text() for row in figures.get_by_role("rowheader").all()] == [
        "queue", "media decode", "media preprocess", "encode", "prefill", "decode"]
    assert page.get_by_role("img", name="picture 1 of the question").is_visible()
    assert page.locator("#media li").count() == 0  # the next question begins without


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_pictures_and_videos_are_dropped_and_pasted(visit, llava, how):
    page = visit(llava)
    question_field(page).wait_for()
    page.evaluate("""([how, data]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const files = new DataTransfer();
      files.items.add(new File([bytes], "a.png", { type: "image/png" }));
      files.items.add(new File([bytes], "a.txt", { type: "text/plain" }));
      files.items.add(new File([bytes], "a.mp4", { type: "video/mp4" }));
      document.body.dispatchEvent(how === "drop"
        ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: files, bubbles: true }));
    }""", [how, base64.b64encode(SCENE.read_bytes()).decode()])
    page.locator("#media li >> nth=1").wait_for()
    picture = page.get_by_role("img", name="picture 1", exact=True)
    assert picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    assert page.locator("#media video").get_attribute("aria-label") == "video 2"
    page.get_by_role("button", name="remove video 2").click()
    page.get_by_role("button", name="remove picture 1").click()
    assert page.locator("#media li").count() == 0


@pytest.mark.compatibility("Chromium", "the page: stop, errors, reload")
def test_stop_keeps_what_has_come(visit, talker):
    page = visit(talker)
    # From inside of the page, so that it does not depend on how fast the two processes are.
    page.evaluate("""new MutationObserver((changes, observer) => {
      if (!document.querySelector("[aria-label=model] .words")?.textContent) return;
      observer.disconnect();
      $("stop").click();
    }).observe($("chat"), { childList: true, subtree: true, characterData: true })""")
    ask(page, "Long?")
    page.get_by_role("status").get_by_text("stopped").wait_for()
    text = answers(page).locator(".words").inner_text()
    assert LONG.startswith(text.strip()) and 0 < len(text) < len(LONG)
    assert talker.wait_idle()
    ask(page, "Why?")  # the conversation goes on
    assert answered(page) and page.locator(".turn").count() == 4


def test_reasoning_stands_apart(visit, talker):
    page = visit(talker)
    ask(page, "Why?")
    assert answered(page) == "So."
    assert page.locator(".reasoning").inner_text() == "" and page.locator(".reasoning").text_content() == "because"


def test_an_error_is_shown_and_the_question_stays(visit, talker):
    page = visit(talker)
    page.get_by_label("Pictures and videos").set_input_files(SCENE)  # this model has no eyes
    page.get_by_role("img", name="picture 1", exact=True).wait_for()
    ask(page, "What is it?")
    error = page.get_by_role("alert")
    assert "picture" in error.inner_text()
    assert question_field(page).input_value() == "What is it?" and page.locator("#media li").count() == 1
    assert page.locator(".turn").count() == 1  # the error alone
    page.get_by_role("button", name="remove picture 1").click()
    page.get_by_role("button", name="Ask").click()
    assert answered(page) == "Hello there." and page.get_by_role("alert").count() == 0


def test_a_reload_keeps_the_conversation(visit, llava):
    page = visit(llava)
    page.get_by_text("Settings").click()
    page.get_by_label("Longest answer").fill("4")
    page.get_by_label("Pictures and videos").set_input_files(SCENE)
    page.get_by_role("img", name="picture 1", exact=True).wait_for()
    ask(page, "What?")
    text = answered(page)
    page.wait_for_function("!state.running")
    page.reload()
    page.get_by_role("img", name="picture 1 of the question").wait_for()
    assert answers(page).locator(".words").inner_text().strip() == text.strip()
    assert page.get_by_role("article", name="you").locator(".words").inner_text() == "What?"
    page.get_by_role("button", name="New conversation").click()
    page.reload()
    page.locator("#model").get_by_text("llava").wait_for()
    assert page.locator(".turn").count() == 0


@pytest.mark.compatibility("Chromium", "the page: keyboard alone, light and dark, narrow screens")
def test_everything_by_keyboard(visit, talker):
    page = visit(talker)
    question_field(page).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Hi")
    page.keyboard.press("Control+Enter")
    assert answered(page) == "Hello there."
    page.wait_for_function("document.activeElement.id === 'text'")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert reached == ["send", "Settings", "This request as code"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.get_by_label("Temperature").is_visible()
    question_field(page).fill("Long?")
    page.evaluate("""new MutationObserver((changes, observer) => {
      if (document.querySelectorAll("[aria-label=model]").length === 2) {
        observer.disconnect();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
      }
    }).observe($("chat"), { childList: true })""")
    question_field(page).press("Control+Enter")
    page.get_by_role("status").get_by_text("stopped").wait_for()


@pytest.mark.compatibility("Chromium", "the page: sampling fields, the request as code")
def test_sampling_fields_are_sent_and_code_is_copied(visit, talker):
    page = visit(talker, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("Settings").click()
    fields = {"Temperature": "0.5", "Top p": "0.9", "Top k": "3", "Min p": "0.05", "Longest answer": "7", "Seed": "11"}
    for label, value in fields.items():
        page.get_by_label(label).fill(value)
    page.get_by_label("System message").fill("Don't shout.")
    question_field(page).fill("It's \"me\"\\n")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_role("button", name="Ask").click()
    body = sent.value.post_data_json
    expected = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.05, "max_tokens": 7, "seed": 11}
    assert {name: body[name] for name in expected} == expected
    assert body["messages"][0] == {"role": "system", "content": "Don't shout."}
    assert answered(page) == "Hello t"

    question_field(page).fill("It's \"me\"\\n $HOME `x`")
    page.get_by_text("This request as code").click()
    for language, command in (("curl", ["bash", "-s"]), ("Python", [str(ROOT / ".venv" / "bin" / "python"), "-"])):
        page.get_by_role("button", name=language).click()
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("status").get_by_text("copied").wait_for()
        code = page.evaluate("navigator.clipboard.readText()")
        page.evaluate("$('status').textContent = ''")
        ran = subprocess.run(command, input=code, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0 and "Hello t" in ran.stdout, code + ran.stderr
    page.get_by_role("button", name="JavaScript").click()
    assert page.locator("#code").inner_text().startswith("import OpenAI")


@pytest.mark.compatibility("Chromium", "the page: asks for an API key")
def test_the_page_asks_for_the_key(visit):
    server = Server("llava", "--api-key", "secret")
    page = visit(server)
    door = page.get_by_label("This server wants an API key")
    door.wait_for()
    door.fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    page.get_by_role("status").get_by_text("valid API key").wait_for()
    door.fill("secret")
    page.get_by_role("button", name="Use this key").click()
    page.locator("#model").get_by_text("llava").wait_for()
    assert not door.is_visible()
    page.get_by_text("Settings").click()
    page.get_by_label("Longest answer").fill("4")
    ask(page, "Hi")
    assert answered(page)
    page.get_by_text("This request as code").click()
    page.locator("#code").get_by_text("$SACCADE_KEY").wait_for()
    assert "secret" not in page.locator("#code").inner_text()
    page.reload()
    page.locator("#model").get_by_text("llava").wait_for()  # the tab remembers it
    assert server.stop() == 0


def contrast(page, selector):
    """WCAG's contrast ratio of a text to the page behind it."""
    return page.locator(selector).first.evaluate("""element => {
      const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const canvas = new OffscreenCanvas(1, 1).getContext("2d");
      const light = (color) => {
        canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const back = document.createElement("div");
      back.style.color = "Canvas";
      document.body.append(back);
      const a = light(getComputedStyle(back).color), b = light(getComputedStyle(element).color);
      back.remove();
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }""")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_and_colour_schemes(visit, talker, scheme):
    page = visit(talker, color_scheme=scheme, viewport={"width": 320, "height": 640})
    page.locator("#count").get_by_text("tokens").wait_for()
    ask(page, "x" * 200)
    assert answered(page)
    page.get_by_text("Settings").click()
    page.get_by_text("This request as code").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for selector in ("body", ".words", "small", "#count", "#model", ".figures"):
        assert contrast(page, selector) >= 4.5, selector
    page.evaluate("turn('error', 'x', [], true)")
    assert contrast(page, ".error") >= 4.5
    unnamed = page.evaluate("""[...document.querySelectorAll("input, textarea, select, button")]
      .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map((e) => e.outerHTML)""")
    assert unnamed == []


@pytest.mark.skipif(not os.environ.get("SACCADE_SCREENSHOT"), reason="SACCADE_SCREENSHOT is not set")
def test_screenshot(visit):
    server = Server(ROOT / "models" / "default")
    page = visit(server, viewport={"width": 720, "height": 600})
    page.get_by_label("Pictures and videos").set_input_files(ROOT / "docs" / "images" / "sample.png")
    page.get_by_role("img", name="picture 1", exact=True).wait_for()
    ask(page, "What color is the circle?")
    answered(page)
    page.locator(".figures summary").click()
    question_field(page).fill("What shape is green?")
    page.get_by_text("tokens with everything before").wait_for()
    page.screenshot(path=ROOT / "docs" / "images" / "page.png", full_page=True)
    assert server.stop() == 0
