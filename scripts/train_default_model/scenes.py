"""Generated pictures: coloured shapes and digits on varied backgrounds, with what is known of them.

A scene is drawn at some ordinary size, sometimes stored as JPEG, and then squashed to the model's
square input with Pillow's bicubic filter, as the server does it with any picture.
"""

import dataclasses
import io
import math
import random

import numpy
from PIL import Image, ImageDraw, ImageFont

IMAGE_SIZE = 96  # the model's input, pixels
PATCH = 8
GRID = IMAGE_SIZE // PATCH
MAX_OBJECTS = 5

SHAPES = ["circle", "square", "triangle", "star", "cross", "diamond"]
DIGITS = [str(d) for d in range(10)]
KINDS = SHAPES + DIGITS
COLORS = {
    "red": [(255, 0, 0), (220, 30, 30), (200, 20, 40)],
    "green": [(0, 128, 0), (30, 170, 60), (0, 200, 0), (50, 205, 50), (0, 255, 0)],
    "blue": [(0, 0, 255), (30, 80, 220), (30, 60, 170), (60, 110, 240)],
    "yellow": [(255, 255, 0), (240, 215, 30), (255, 225, 0)],
    "orange": [(255, 165, 0), (255, 135, 0), (240, 120, 20)],
    "purple": [(128, 0, 128), (110, 40, 170), (150, 50, 200)],
    "pink": [(255, 192, 203), (255, 105, 180), (250, 140, 190)],
    "black": [(0, 0, 0), (22, 22, 22)],
    "white": [(255, 255, 255), (242, 242, 242)],
}
COLOR_NAMES = list(COLORS)
BACKGROUND_COLORS = {**COLORS, "gray": [(128, 128, 128), (170, 170, 170), (95, 95, 95)]}

# Pen strokes of hand-drawn-looking digits in a 2 x 3 box: lists of (x, y).
STROKES = {
    "0": [[(1, 0), (.3, .4), (0, 1.5), (.3, 2.6), (1, 3), (1.7, 2.6), (2, 1.5), (1.7, .4), (1, 0)]],
    "1": [[(.4, .7), (1.1, 0), (1.1, 3)]],
    "2": [[(.1, .7), (.5, .1), (1.1, 0), (1.7, .3), (1.8, 1), (1.2, 1.8), (0, 3), (2, 3)]],
    "3": [[(.1, .3), (.8, 0), (1.6, .2), (1.8, .8), (1.4, 1.3), (.7, 1.4)],
          [(.7, 1.4), (1.6, 1.6), (2, 2.2), (1.6, 2.8), (.9, 3), (0, 2.7)]],
    "4": [[(1.4, 3), (1.4, 0), (0, 2), (2, 2)]],
    "5": [[(1.8, 0), (.3, 0), (.2, 1.3), (1.1, 1.1), (1.8, 1.5), (1.9, 2.2), (1.4, 2.9), (.7, 3),
           (0, 2.7)]],
    "6": [[(1.6, .1), (.8, .5), (.2, 1.3), (0, 2.1), (.4, 2.8), (1, 3), (1.7, 2.7), (1.9, 2.1),
           (1.6, 1.5), (1, 1.3), (.4, 1.6), (.1, 2.1)]],
    "7": [[(0, 0), (2, 0), (.8, 3)]],
    "8": [[(1, 1.4), (.3, 1), (.2, .5), (.6, .1), (1, 0), (1.5, .1), (1.8, .5), (1.6, 1), (1, 1.4),
           (.3, 1.8), (0, 2.3), (.4, 2.8), (1, 3), (1.6, 2.8), (2, 2.3), (1.7, 1.8), (1, 1.4)]],
    "9": [[(1.8, .9), (1.5, 1.5), (.9, 1.7), (.3, 1.4), (.1, .9), (.4, .2), (1, 0), (1.6, .2),
           (1.8, .9), (1.7, 2), (1.2, 3)]],
}


@dataclasses.dataclass
class Object:
    kind: str     # a word of KINDS
    color: str    # a word of COLOR_NAMES
    x: float      # centre, 0..1 of the picture's width
    y: float      # centre, 0..1 of the picture's height
    size: float   # diameter, 0..1 of the shorter side

    @property
    def is_digit(self) -> bool:
        return self.kind in DIGITS


@dataclasses.dataclass
class Scene:
    objects: list          # of Object, from left to right
    background: str | None  # a word of BACKGROUND_COLORS for plain backgrounds, else None

    def dump(self) -> dict:
        return dataclasses.asdict(self)

    @staticmethod
    def load(value: dict) -> "Scene":
        return Scene([Object(**o) for o in value["objects"]], value["background"])


def shade(rng: random.Random, name: str) -> tuple:
    base = rng.choice(BACKGROUND_COLORS[name])
    if rng.random() < 0.4:
        return base
    return tuple(max(0, min(255, c + rng.randint(-12, 12))) for c in base)


def far(a, b, least: float) -> bool:
    return math.dist(a, b) >= least


# ---- backgrounds --------------------------------------------------------------------------------

def smooth_noise(rng: random.Random, size: tuple, cells: int) -> numpy.ndarray:
    """Random colours on a coarse grid, blown up: [height, width, 3] float32 in -1..1."""
    source = numpy.random.default_rng(rng.getrandbits(32))
    grid = (source.random((max(2, cells), max(2, cells), 3)) * 255).astype(numpy.uint8)
    image = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
    return numpy.asarray(image, numpy.float32) / 127.5 - 1


def paint_background(rng: random.Random, size: tuple) -> tuple:
    """Returns (image, name or None, colours that occur in it)."""
    style = rng.random()
    name = rng.choice(["white"] * 5 + ["black"] * 2 + ["gray"] * 2 + list(BACKGROUND_COLORS))
    base = shade(rng, name)
    if style < 0.5:
        return Image.new("RGB", size, base), name, [base]
    pastel = tuple(rng.randint(0, 255) for _ in range(3))
    if style < 0.6:
        return Image.new("RGB", size, pastel), None, [pastel]
    if style < 0.75:
        other = tuple(max(0, min(255, c + rng.randint(-90, 90))) for c in pastel)
        ramp = Image.linear_gradient("L").rotate(rng.choice([0, 90, 180, 270])).resize(size)
        picture = Image.composite(Image.new("RGB", size, pastel), Image.new("RGB", size, other), ramp)
        return picture, None, [pastel, other]
    amount = rng.uniform(8, 45)
    noise = smooth_noise(rng, size, rng.choice([3, 5, 9, 17, 33, 80]))
    if rng.random() < 0.5:
        noise = 0.6 * noise + 0.4 * smooth_noise(rng, size, rng.choice([20, 60, 120]))
    pixels = numpy.clip(noise * amount + numpy.array(pastel, numpy.float32), 0, 255)
    return Image.fromarray(pixels.astype(numpy.uint8)), None, [pastel]


# ---- objects ------------------------------------------------------------------------------------

def outline(kind: str, turn: float) -> list:
    """The polygon of a shape in a box of -1..1."""
    def ring(n, radius=1.0, start=-math.pi / 2):
        return [(radius * math.cos(start + 2 * math.pi * i / n),
                 radius * math.sin(start + 2 * math.pi * i / n)) for i in range(n)]
    if kind == "circle":
        points = ring(40)
    elif kind == "square":
        points = [(-.82, -.82), (.82, -.82), (.82, .82), (-.82, .82)]
    elif kind == "triangle":
        points = [(0, -.95), (.95, .8), (-.95, .8)]
    elif kind == "star":
        outer, inner = ring(5), ring(5, 0.42, -math.pi / 2 + math.pi / 5)
        points = [p for pair in zip(outer, inner) for p in pair]
    elif kind == "cross":
        a, b = 0.3, 0.92
        points = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a),
                  (-b, a), (-b, -a), (-a, -a)]
    else:
        points = [(0, -1), (.78, 0), (0, 1), (-.78, 0)]
    c, s = math.cos(turn), math.sin(turn)
    return [(x * c - y * s, x * s + y * c) for x, y in points]


def draw_digit(draw, rng_state: dict, kind: str, centre: tuple, radius: tuple, fill) -> None:
    cx, cy = centre
    if rng_state["font"]:
        font = ImageFont.load_default(size=max(6.0, 2.35 * min(radius)))
        draw.text((cx, cy), kind, font=font, fill=fill, anchor="mm",
                  stroke_width=round(min(radius) * rng_state["bold"]))
        return
    width = max(1, round(min(radius) * rng_state["pen"]))
    for stroke in STROKES[kind]:
        points = [(cx + (x - 1) * 0.58 * radius[0], cy + (y - 1.5) * 0.62 * radius[1])
                  for x, y in stroke]
        draw.line(points, fill=fill, width=width, joint="curve")
        for x, y in points:
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=fill)


def draw_object(draw, thing: Object, look: dict, size: tuple, fill) -> None:
    """Draws into a canvas of `size`; `look["stretch"]` squashes for the label canvas."""
    width, height = size
    centre = (thing.x * width, thing.y * height)
    half = thing.size / 2
    radius = (half * look["short"][0] * width, half * look["short"][1] * height)
    if thing.is_digit:
        draw_digit(draw, look, thing.kind, centre, radius, fill)
        return
    points = [(centre[0] + x * radius[0], centre[1] + y * radius[1])
              for x, y in outline(thing.kind, look["turn"])]
    draw.polygon(points, fill=fill)


def place(rng: random.Random, count: int, size: tuple) -> list:
    """Centres and diameters in pixels of `count` things that do not touch."""
    short = min(size)
    low, high = {0: (.2, .3), 1: (.22, .8), 2: (.22, .44)}.get(count, (.2, .32))
    spots = []
    for _ in range(300):
        if len(spots) == count:
            break
        d = rng.uniform(low, high) * short
        x, y = rng.uniform(d / 2, size[0] - d / 2), rng.uniform(d / 2, size[1] - d / 2)
        if all(math.hypot(x - a, y - b) > (d + e) / 2 * 1.08 for a, b, e in spots):
            spots.append((x, y, d))
    return spots


def place_in_line(rng: random.Random, count: int, size: tuple) -> list:
    """The same for equal things beside or below each other, in a straight line or nearly so."""
    axis = int(rng.random() < 0.35)  # 0: beside each other
    pitch = size[axis] / max(count, 1)
    d = min(rng.uniform(.14, .36) * min(size), rng.uniform(.6, .92) * pitch)
    cross = size[1 - axis]
    line, stray = rng.uniform(d / 2, cross - d / 2), rng.choice([0, 0, .1, 1])
    spots = []
    for i in range(count):
        along = pitch * (i + .5) + rng.uniform(-.4, .4) * (pitch - d)
        across = (1 - stray) * line + stray * rng.uniform(d / 2, cross - d / 2)
        spots.append((across, along, d) if axis else (along, across, d))
    return spots


def choose_things(rng: random.Random, count: int, alike: bool) -> list:
    """(kind, colour) pairs; some scenes repeat a colour or a shape, some hold one digit."""
    if alike:
        thing = (rng.choice(SHAPES), rng.choice(COLOR_NAMES))
        return [thing] * count
    palette = rng.sample(COLOR_NAMES, rng.choice([1, 2, 3, 9, 9, 9]))
    forms = rng.sample(SHAPES, rng.choice([1, 2, 3, 6, 6, 6]))
    things = [(rng.choice(forms), rng.choice(palette)) for _ in range(count)]
    if things and rng.random() < 0.22:
        things[0] = (rng.choice(DIGITS), things[0][1])
    return things


def make_scene(rng: random.Random, count: int | None = None) -> tuple:
    """Returns (scene, picture as a Pillow RGB image, label map [96, 96] uint8: 0 = background,
    i + 1 = objects[i])."""
    if count is None:
        count = rng.choice([0] + [1, 2, 3, 4, 5] * 6)
    side = round(math.exp(rng.uniform(math.log(112), math.log(420))))
    aspect = 1.0 if rng.random() < 0.5 else rng.uniform(0.72, 1.4)
    size = (round(side * math.sqrt(aspect)), round(side / math.sqrt(aspect)))
    scale = 2 if rng.random() < 0.35 and side < 220 else 1
    canvas, name, present = paint_background(rng, (size[0] * scale, size[1] * scale))
    short = min(size)
    things = []
    in_line = rng.random() < 0.3
    spots = (place_in_line if in_line else place)(rng, count, size)
    alike = rng.random() < (0.5 if in_line else 0.05)
    for (kind, color), (x, y, d) in zip(choose_things(rng, count, alike), spots):
        for _ in range(20):
            fill = shade(rng, color)
            if all(far(fill, p, 85) for p in present):
                break
            color = rng.choice(COLOR_NAMES)
        else:
            continue
        things.append((Object(kind, color, x / size[0], y / size[1], d / short), fill))
    things.sort(key=lambda pair: pair[0].x)
    draw = ImageDraw.Draw(canvas)
    labels = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE), 0)
    label_draw = ImageDraw.Draw(labels)
    for i, (thing, fill) in enumerate(things):
        look = {"short": (short / size[0], short / size[1]), "turn": rng.uniform(-.22, .22),
                "font": rng.random() < 0.65, "bold": rng.choice([0, 0, .04, .09]),
                "pen": rng.uniform(.16, .36)}
        if thing.kind in ("circle",) or rng.random() < 0.5:
            look["turn"] = 0.0
        draw_object(draw, thing, look, canvas.size, fill)
        draw_object(label_draw, thing, look, labels.size, i + 1)
    if scale > 1:
        canvas = canvas.resize(size, Image.Resampling.BOX)
    if rng.random() < 0.3:
        canvas = jpeg(canvas, rng.randint(40, 95))
    scene = Scene([t for t, _ in things], name)
    return scene, canvas, numpy.asarray(labels)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def model_input(image: Image.Image) -> numpy.ndarray:
    """The squashed picture, uint8 [96, 96, 3], as the checkpoint's image processor resizes it."""
    return numpy.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC))


def patch_owners(labels: numpy.ndarray, least: float = 0.18) -> numpy.ndarray:
    """For each of the 12 x 12 patches the object that covers most of it: 0 = none, i + 1."""
    cells = labels.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    counts = numpy.stack([(cells == i + 1).sum(1) for i in range(MAX_OBJECTS)], 1)
    best = counts.argmax(1)
    covered = counts.max(1) >= least * PATCH * PATCH
    return numpy.where(covered, best + 1, 0).astype(numpy.uint8)


SILHOUETTE = 8  # an object's outline is also kept as an 8 x 8 picture of its bounding box


def silhouettes(labels: numpy.ndarray) -> numpy.ndarray:
    """[MAX_OBJECTS, 64] uint8 of 0 and 1: each object's mask, stretched to its bounding box."""
    found = numpy.zeros((MAX_OBJECTS, SILHOUETTE ** 2), numpy.uint8)
    for i in range(MAX_OBJECTS):
        mask = labels == i + 1
        rows, columns = numpy.flatnonzero(mask.any(1)), numpy.flatnonzero(mask.any(0))
        if len(rows) and len(columns):
            box = mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
            small = Image.fromarray(box.astype(numpy.uint8) * 255).resize(
                (SILHOUETTE, SILHOUETTE), Image.Resampling.BOX)
            found[i] = (numpy.asarray(small) > 127).ravel()
    return found


def patch_masks(labels: numpy.ndarray) -> numpy.ndarray:
    """[144, 64] uint8 of 0 and 1: which pixels of each patch belong to any object."""
    cells = (labels > 0).reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3)
    return cells.reshape(GRID * GRID, PATCH * PATCH).astype(numpy.uint8)
