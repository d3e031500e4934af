"""The questions asked of each checkpoint: every case is a list of candidate prompts, the first usable one is kept."""

import dataclasses

QUESTIONS = [
    "What is in the picture?",
    "How many circles are there?",
    "Which shape is on the left?",
    "What is written on the sign?",
    "Describe this image in one sentence.",
    "Is the dog larger than the cat?",
    "What colour has the car?",
    "Where does the man stand?",
    "Who is in the photo?",
    "Why is the sky blue?",
    "Is it 9:30 or 10:45?",
    "Read the text on the page.",
    "Count the words of each line.",
    "Answer with yes or no, please.",
    "Is the road wet?",
    "Name one thing behind the boat.",
    "What stands next to the door?",
    "Are there two birds?",
    "Which line is longest?",
    "What does the woman hold?",
    "What is the sum of 12 and 30?",
    "Is the star below the triangle?",
    "Caf\u00e9 or for\u00eat?",
    "What is left of the blue square?",
    "Does the child laugh?",
    "How far is the train?",
    "Say it again, slower.",
]
LONG = (
    "How would you answer this question about the photo? Think step by step, then give the answer on the last line. "
    "The green triangle is above the yellow star, and the star is below the triangle. "
)
CODE = "def f(x):\n    return  x * 2\t# \u00e9\u00df\u4e2d\U0001f600\n\n"
SYSTEM = {"role": "system", "content": "Answer in one word."}
POEM = "The image shows a small boat on a lake, behind it a wood and a grey sky; two birds fly over the water. "


@dataclasses.dataclass
class Case:
    name: str
    candidates: list  # OpenAI messages, or a str: a raw completion prompt
    fp64: bool = False
    wants_end: bool = False  # keep only a prompt whose 16 greedy ids hold an end token
    steps: bool = True


def user(question, *pictures):
    """One user turn. With pictures the content is a list of parts, pictures first."""
    if not pictures:
        return {"role": "user", "content": question}
    parts = [{"type": "image_url", "image_url": {"url": f"images/{p}"}} for p in pictures]
    return {"role": "user", "content": parts + [{"type": "text", "text": question}]}


def _turned(shift):
    return QUESTIONS[shift:] + QUESTIONS[:shift]


def _ask(shift, *pictures):
    return [[user(q, *pictures)] for q in _turned(shift)]


def _dialog(shift, *pictures):
    return [
        [user(q, *pictures), {"role": "assistant", "content": "A small boat."}, user(p)]
        for q, p in zip(_turned(shift), _turned(shift + 7))
    ]


def text_cases():
    pairs = [f"{a} {b}" for a in QUESTIONS for b in QUESTIONS]
    return [
        Case("chat", _ask(0)),
        Case(
            "dialog with a system message",
            [[SYSTEM] + m for m in _dialog(3)],
        ),
        Case("completion", _turned(5)),
        Case("completion with code and unicode", [CODE + q for q in _turned(8)]),
        Case("long completion", [LONG + q for q in _turned(11)]),
        Case("ends by itself", pairs, wants_end=True),
    ]


def few_text_cases(shift=0):
    return [Case("completion", _turned(shift + 4)), Case("chat", _ask(shift))]


def rope_cases():
    """A prompt within the original length, one beyond it, and one far beyond it."""
    return [
        Case("short", [q for q in _turned(2)]),
        Case("longer than the original length", [POEM[:70] + q for q in _turned(9)]),
        Case("much longer", [POEM + q for q in _turned(6)]),
    ]


def llava_cases():
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("same picture, other question", _ask(4, "scene.png")),
        Case("other picture", _ask(0, "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("dialog with a system message", [[SYSTEM] + m for m in _dialog(1, "turned.jpg")]),
        Case("text only", _ask(9)),
    ]


def few_llava_cases():
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("two pictures", _ask(3, "gray_exact.png", "tall.jpg")),
        Case("text only", _ask(5)),
    ]


def instructblip_cases():
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("same picture, other question", _ask(4, "scene.png")),
        Case("other picture", _ask(0, "tall.jpg")),
        Case(
            "turned picture, longer question",
            [[user(LONG[:77] + q, "turned.jpg")] for q in _turned(2)],
        ),
        Case(
            "alpha, accents and capitals",
            [[user("O\u00f9 est le CAF\u00c9 na\u00efve? " + q, "alpha.png")] for q in _turned(7)],
        ),
        Case("text only", _ask(9)),
    ]


def few_instructblip_cases():
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("wide picture", _ask(5, "wide_palette.png")),
        Case("text only", _ask(3)),
    ]


def blip2_cases():
    pictures = ["scene.png", "tall.jpg", "turned.jpg", "alpha.png", "wide_palette.png"]
    question = lambda q: f"Question: {q} Answer:"
    return [
        Case("picture", [[user(question(q), "scene.png")] for q in QUESTIONS], fp64=True),
        Case("other picture", [[user(question(q), "tall.jpg")] for q in _turned(4)]),
        Case("caption of an empty prompt", [[_only_picture(p)] for p in pictures]),
        Case("text only", _ask(9)),
    ]


def _only_picture(picture):
    part = {"type": "image_url", "image_url": {"url": f"images/{picture}"}}
    return {"role": "user", "content": [part]}


def tile_cases():
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("same picture, other question", _ask(4, "scene.png")),
        Case("tall picture", _ask(0, "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("dialog with a system message", [[SYSTEM] + m for m in _dialog(1, "turned.jpg")]),
        Case("text only", _ask(9)),
    ]


def anyres_cases():
    """Pictures that fill each kind of grid: square, tall, long and wide, turned, with alpha."""
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("same picture, other question", _ask(4, "scene.png")),
        Case("tall picture", _ask(0, "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("dialog with a system message", [[SYSTEM] + m for m in _dialog(1, "turned.jpg")]),
        Case("text only", _ask(9)),
    ]


FRAMES = ["scene.png", "gray_exact.png", "wide_palette.png"]


def _ask_video(shift, frames, *pictures, fps=None):
    """A question about pictures and one video of these frames."""
    asked = []
    for question in _turned(shift):
        turn = user(question, *pictures) if pictures else user(question)
        content = turn["content"] if pictures else [{"type": "text", "text": question}]
        video = {"type": "video", "frames": [f"images/{f}" for f in frames]}
        if fps:
            video["fps"] = fps
        asked.append([dict(turn, content=[*content[:-1], video, content[-1]])])
    return asked


def video_cases():
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("video", _ask_video(2, FRAMES), fp64=True),
        Case("frames the other way round", _ask_video(2, FRAMES[::-1])),
        Case("pictures and a video", _ask_video(5, FRAMES[:2], "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("text only", _ask(9)),
    ]


def _shot(picture, question, answer=None):
    """A turn whose words stand around its picture, and its answer."""
    part = {"type": "image_url", "image_url": {"url": f"images/{picture}"}}
    words = [{"type": "text", "text": "Look: "}, part, {"type": "text", "text": " " + question}]
    turns = [{"role": "user", "content": words}]
    return turns + ([{"role": "assistant", "content": answer}] if answer else [])


def _shots(shift):
    first = _shot("scene.png", "How many circles are there?", "Three.")
    second = _shot("tall.jpg", "How many birds are there?", "Two.")
    return [[*first, *second, *_shot("gray_exact.png", q)] for q in _turned(shift)]


def inside_cases():
    """Words before a picture see none of it, those behind one see it alone."""
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("same picture, other question", _ask(4, "scene.png")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("few shots", _shots(3)),
        Case("second turn without a picture", _dialog(1, "turned.jpg")),
        Case("text only", _ask(9)),
    ]


def frame_cases():
    """Videos of four frames, and nothing else."""
    frames = [*FRAMES, "tall.jpg"]
    return [
        Case("video", _ask_video(0, frames), fp64=True),
        Case("same video, other question", _ask_video(4, frames)),
        Case("frames the other way round", _ask_video(0, frames[::-1])),
        Case("text only", _ask(9)),
    ]


def few_inside_cases():
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("few shots", _shots(5)),
        Case("second turn without a picture", _dialog(2, "tall.jpg")),
        Case("text only", _ask(5)),
    ]


def single_cases():
    """For models that take one picture and one instruction."""
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("other picture", _ask(4, "wide_palette.png")),
        Case("text only", _ask(9)),
    ]


CLIP = [f"frame{i}.jpg" for i in range(7)]


def _video_first(asked):
    for messages in asked:
        picture, video, *rest = messages[0]["content"]
        messages[0]["content"] = [video, picture, *rest]
    return asked


def qwen_cases():
    return [
        Case("picture", _ask(0, "scene.png"), fp64=True),
        Case("tall picture", _ask(0, "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
        Case("dialog with a system message", [[SYSTEM] + m for m in _dialog(1, "turned.jpg")]),
        Case("video", _ask_video(2, CLIP[:4]), fp64=True),
        Case("seven frames, three each second", _ask_video(5, CLIP, fps=3)),
        Case("picture and video, a frame each second", _ask_video(7, CLIP, "turned.jpg", fps=1)),
        Case("video before a picture", _video_first(_ask_video(8, CLIP[::-1], "scene.png", fps=0.5))),
        Case("text only", _ask(9)),
    ]


def smol_cases():
    return [
        *few_tile_cases(),
        Case("video", _ask_video(2, CLIP[:4])),
        Case("seven frames, one in ten seconds", _ask_video(5, CLIP, fps=0.1)),
    ]


def few_video_cases():
    return [
        Case("video", _ask_video(2, CLIP[:3])),
        Case("picture and a video", _ask_video(5, CLIP[4:6], "tall.jpg")),
        Case("two pictures", _ask(6, "wide_palette.png", "alpha.png")),
    ]


def few_smol_cases():
    return [
        Case("two pictures", _ask(3, "wide_palette.png", "tall.jpg")),
        Case("seven frames, one in ten seconds", _ask_video(5, CLIP, fps=0.1)),
    ]


def few_frame_cases():
    return [
        Case("video", _ask_video(0, [*FRAMES, "tall.jpg"])),
        Case("text only", _ask(9)),
    ]


def few_blip2_cases():
    return blip2_cases()[1:]


def few_qwen_cases():
    return [
        Case("two pictures", _ask(3, "wide_palette.png", "gray_exact.png")),
        Case("seven frames, three each second", _ask_video(5, CLIP, fps=3)),
        Case("picture and video, a frame each second", _ask_video(7, CLIP[:5], "tall.jpg", fps=1)),
    ]


def pixtral_cases():
    return [Case("picture", _ask(0, "scene.png"), fp64=True), *few_pixtral_cases()]


def few_pixtral_cases():
    return [
        Case("two pictures", _ask(3, "gray_exact.png", "frame0.jpg")),
        Case("text only", _ask(5)),
    ]


def few_anyres_cases():
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("two pictures", _ask(3, "gray_exact.png", "wide_palette.png")),
        Case("text only", _ask(5)),
    ]


def few_tile_cases():
    return [
        Case("picture", _ask(0, "scene.png")),
        Case("two pictures", _ask(3, "wide_palette.png", "tall.jpg")),
        Case("text only", _ask(5)),
    ]
