"""Questions about a scene, in many wordings, with their short answers.

Each question also names the objects it is about: `first` (the one asked for, or all that are
counted or looked for) and `second` (the one it is compared with). Training uses them, nobody else.
"""

import random

import scenes

NEAR, CLEAR = 0.02, 0.12  # nearer than NEAR: neither side; relations are asked from CLEAR on
KINDS = ["color", "shape", "count", "left/right", "above/below", "yes/no", "digit", "background",
         "caption"]
PLURALS = {**{s: s + "s" for s in scenes.SHAPES}, "cross": "crosses"}

COLOR = ["What color is the {ref}?", "What colour is the {ref}?", "Which color is the {ref}?",
         "What is the color of the {ref}?", "What color does the {ref} have?",
         "Tell me the color of the {ref}.", "The {ref} is what color?",
         "Which color does the {ref} have?", "What's the color of the {ref}?",
         "Name the color of the {ref}.", "What is the colour of the {ref}?"]
SHAPE = ["What shape is the {ref}?", "What is the shape of the {ref}?", "Which shape is the {ref}?",
         "What shape does the {ref} have?", "What kind of shape is the {ref}?",
         "Name the shape of the {ref}.", "Tell me the shape of the {ref}."]
SHAPE_BY_COLOR = ["What shape is {color}?", "Which shape is {color}?", "What is the {color} shape?",
                  "What is the {color} object?", "What {color} shape is in the picture?"]
SHAPE_ALONE = ["What shape is this?", "What shape is in the picture?", "What shape is shown?",
               "Which shape do you see?", "What shape do you see?", "What shape is it?",
               "What shape is in the image?", "Name the shape.", "Which shape is shown here?",
               "What kind of shape is this?"]
COLOR_ALONE = ["What color is it?", "What color is this?", "What color is the object?",
               "What color is the shape?", "Which color do you see?", "What is the color?",
               "What color is this shape?", "What color is the shape in the picture?"]
COLOR_MANY = ["What color are the {many}?", "What colour are the {many}?",
              "Which color do the {many} have?", "What is the color of the {many}?"]
SHAPE_MANY = ["What shape are the {many}?", "What shape do the {many} have?",
              "What shape are these?", "Which shape do you see?"]
COUNT = ["How many {many} are there?", "How many {many} do you see?",
         "How many {many} are in the picture?", "How many {many} are in the image?",
         "Count the {many}.", "What is the number of {many}?", "How many {many} can you see?",
         "How many {many} are shown?", "How many {many}?", "Count the {many} in the picture.",
         "How many {many} does the picture have?", "How many {many} are there in the picture?",
         "How many {many} are there in total?", "Count all {many}."]
EXIST = ["Is there {one} in the picture?", "Is there {one}?", "Do you see {one}?",
         "Does the picture show {one}?", "Is there {one} in the image?", "Can you see {one}?",
         "Does the image contain {one}?", "Is {one} in the picture?"]
IS = ["Is the {kind} {color}?", "Is the {kind} in the picture {color}?",
      "Is the color of the {kind} {color}?"]
DIGIT = ["What digit is shown?", "Which digit is shown?", "What number is shown?",
         "What digit do you see?", "Which number do you see?", "What number is in the picture?",
         "What digit is in the picture?", "Read the digit.", "Read the number.",
         "Which digit is it?", "What number is this?", "What digit is this?",
         "What is the number in the image?", "What number is written in the picture?",
         "Which number is in the image?"]
BACKGROUND = ["What color is the background?", "What is the background color?",
              "What is the color of the background?", "Which color is the background?",
              "What colour is the background?"]
CAPTION = ["Describe the picture.", "What is in the picture?", "What do you see?", "",
           "Describe the image.", "What is in the image?", "What is shown in the picture?",
           "What can you see in the picture?", "Describe this picture.", "What does the image show?",
           "What's in this picture?", "What's in the image?", "Describe what you see.",
           "What is this?", "Caption this image.", "What is in this image?",
           "What does the picture show?", "What do you see in this picture?",
           "Please describe the image.", "List the shapes in the image.",
           "List the objects in the picture.", "List what you see.",
           "Which shapes are in the image?", "Name all objects in the picture.",
           "Describe this image in one sentence.", "Please describe this image in one sentence.",
           "Give a short description of the picture.", "Which objects do you see?"]
SIDES = {  # axis, sign of (a - b): words
    ("x", -1): ["left of", "to the left of", "on the left of"],
    ("x", 1): ["right of", "to the right of", "on the right of"],
    ("y", -1): ["above", "over", "higher than"],
    ("y", 1): ["below", "under", "lower than", "beneath"],
}
EITHER = {
    "x": ["Is the {a} left or right of the {b}?", "Is the {a} to the left or to the right of the {b}?",
          "Is the {a} on the left or the right of the {b}?",
          "On which side of the {b} is the {a}, left or right?"],
    "y": ["Is the {a} above or below the {b}?", "Is the {a} above the {b} or below it?",
          "Does the {a} lie above or below the {b}?"],
}
WORDS = {("x", -1): "left", ("x", 1): "right", ("y", -1): "above", ("y", 1): "below"}
WHICH = ["What shape is {side} the {b}?", "Which shape is {side} the {b}?",
         "What is the shape {side} the {b}?", "What is {side} the {b}?",
         "Which object is {side} the {b}?"]
WHICH_COLOR = ["What color is the shape {side} the {b}?", "What color is the object {side} the {b}?",
               "What is the color of the shape {side} the {b}?"]


STARTS = ["In the picture: ", "Please answer: ", "Look at the image. ", "Answer briefly: ",
          "Answer with one word: ", "In one word: ", "Question: "]
ENDS = [" Answer in one word.", " Answer shortly.", " Please answer.", " Answer with one word.",
        " Answer with a single word.", " Answer briefly.", " Be brief."]
YES_NO_ENDS = [" Answer yes or no.", " Yes or no?", " Please answer yes or no.",
               " Answer with yes or no.", " Answer only yes or no."]
COUNT_ENDS = [" Answer with a number.", " Give only the number.", " Answer with a digit."]


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def full_name(o) -> str:
    return f"{o.color} {'digit ' if o.is_digit else ''}{o.kind}"


def names(scene, o) -> list:
    """The phrases that mean exactly this object in this scene."""
    others = [p for p in scene.objects if p is not o]
    if o.is_digit:
        return ["digit", "number", f"{o.color} digit"] if not any(p.is_digit for p in others) else []
    found = []
    if not any((p.kind, p.color) == (o.kind, o.color) for p in others):
        found += [f"{o.color} {o.kind}"] * 2
    if not any(p.kind == o.kind for p in others):
        found += [o.kind] * 2
    if not any(p.color == o.color for p in others):
        found += [f"{o.color} object", f"{o.color} shape"]
        if not others:
            found += ["shape", "object"]
    return found


def shapes_of(scene) -> list:
    return [o for o in scene.objects if not o.is_digit]


def equal_things(scene, what: str) -> list:
    """Two or more things of a scene without digits that agree in `what`, where all do."""
    things = shapes_of(scene)
    agree = len({getattr(o, what) for o in things}) == 1
    return things if agree and len(things) == len(scene.objects) > 1 else []


def ask_color(rng, scene):
    things = equal_things(scene, "color")
    if things and rng.random() < 0.4:
        many = rng.choice(["shapes", "objects"])
        if equal_things(scene, "kind"):
            many = rng.choice([PLURALS[things[0].kind], many])
        return rng.choice(COLOR_MANY).format(many=many), things[0].color, things, []
    if len(scene.objects) == 1 and rng.random() < 0.35:
        return rng.choice(COLOR_ALONE), scene.objects[0].color, scene.objects, []
    found = [(n, o) for o in scene.objects for n in names(scene, o) if o.color not in n]
    if not found:
        return None
    ref, o = rng.choice(found)
    return rng.choice(COLOR).format(ref=ref), o.color, [o], []


def ask_shape(rng, scene):
    equal = equal_things(scene, "kind")
    if equal and rng.random() < 0.4:
        many = rng.choice(["objects", "things", "shapes"])
        if equal_things(scene, "color"):
            many = rng.choice([f"{equal[0].color} objects", many])
        return rng.choice(SHAPE_MANY).format(many=many), equal[0].kind, equal, []
    things = shapes_of(scene)
    if len(things) == 1 and rng.random() < 0.35:
        return rng.choice(SHAPE_ALONE), things[0].kind, things, []
    found = [o for o in things if sum(p.color == o.color for p in scene.objects) == 1]
    if not found:
        return None
    o = rng.choice(found)
    if rng.random() < 0.4:
        return rng.choice(SHAPE_BY_COLOR).format(color=o.color), o.kind, [o], []
    ref = f"{o.color} {rng.choice(['object', 'object', 'shape', 'thing', 'one'])}"
    return rng.choice(SHAPE).format(ref=ref), o.kind, [o], []


def ask_count(rng, scene):
    things = shapes_of(scene)
    style = rng.random()
    if style < 0.5 or not things:
        many = "shapes"
        if len(things) == len(scene.objects):
            many = rng.choice(["shapes", "shapes", "objects", "things"])
        return rng.choice(COUNT).format(many=many), str(len(things)), things, []
    o = rng.choice(things)
    if style < 0.8:
        kind = o.kind if rng.random() < 0.85 else rng.choice(scenes.SHAPES)
        meant = [p for p in things if p.kind == kind]
        return rng.choice(COUNT).format(many=PLURALS[kind]), str(len(meant)), meant, []
    color = o.color if rng.random() < 0.85 else rng.choice(scenes.COLOR_NAMES)
    many = f"{color} {rng.choice(['shapes', 'objects', 'things'])}"
    if len(things) != len(scene.objects):
        many = f"{color} shapes"
    meant = [p for p in things if p.color == color]
    return rng.choice(COUNT).format(many=many), str(len(meant)), meant, []


def side_words(rng, axis: str, sign: int) -> str:
    return rng.choice(SIDES[axis, sign])


def ask_side(rng, scene, axis: str):
    """Left/right (axis x) or above/below (axis y) of two things, in four forms."""
    pairs = [(a, b) for a in scene.objects for b in scene.objects
             if a is not b and abs(getattr(a, axis) - getattr(b, axis)) >= CLEAR
             and names(scene, a) and names(scene, b)]
    form = rng.random()
    if form >= 0.55:
        which = ask_which(rng, scene, axis, form)
        if which:
            return which
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    sign = -1 if getattr(a, axis) < getattr(b, axis) else 1
    words = {"a": rng.choice(names(scene, a)), "b": rng.choice(names(scene, b))}
    if form < 0.3 or form >= 0.8:
        said = rng.choice([-1, 1])
        text = f"Is the {words['a']} {side_words(rng, axis, said)} the {words['b']}?"
        return text, "yes" if said == sign else "no", [a], [b]
    text = rng.choice(EITHER[axis]).format(**words)
    return text, WORDS[axis, sign], [a], [b]


def ask_which(rng, scene, axis: str, form: float):
    """What lies on one side of an anchor, when exactly one thing does, and clearly."""
    found = []
    for b in scene.objects:
        for sign in (-1, 1):
            gaps = [(sign * (getattr(o, axis) - getattr(b, axis)), o) for o in scene.objects
                    if o is not b]
            side = [(g, o) for g, o in gaps if g > -NEAR]
            if len(side) == 1 and side[0][0] >= CLEAR and names(scene, b):
                found.append((side[0][1], b, sign))
    found = [f for f in found if not f[0].is_digit]
    if not found:
        return None
    o, b, sign = rng.choice(found)
    words = {"side": side_words(rng, axis, sign), "b": rng.choice(names(scene, b))}
    if form < 0.85:
        return rng.choice(WHICH).format(**words), o.kind, [o], [b]
    return rng.choice(WHICH_COLOR).format(**words), o.color, [o], [b]


def ask_exist(rng, scene):
    things = shapes_of(scene)
    single = [p for p in things if sum(q.kind == p.kind for q in things) == 1]
    if single and rng.random() < 0.15:
        o = rng.choice(single)
        color = o.color if rng.random() < 0.5 else rng.choice(scenes.COLOR_NAMES)
        text = rng.choice(IS).format(kind=o.kind, color=color)
        return text, "yes" if color == o.color else "no", [o], []
    yes = bool(things) and rng.random() < 0.5
    o = rng.choice(things) if things else scenes.Object("circle", "red", 0, 0, 0)
    color, kind = o.color, o.kind
    style = rng.random()
    if not yes:  # wrong in one word, or in both
        wrong = rng.random()
        if wrong < 0.65 or style < 0.35:
            kind = rng.choice(scenes.SHAPES)
        if wrong >= 0.5 or style >= 0.75:
            color = rng.choice(scenes.COLOR_NAMES)
    if style < 0.35:
        text, meant = kind, [p for p in things if p.kind == kind]
    elif style < 0.75:
        text = f"{color} {kind}"
        meant = [p for p in things if (p.kind, p.color) == (kind, color)]
    else:
        text = f"{color} {rng.choice(['shape', 'object'])}"
        meant = [p for p in scene.objects if p.color == color]
    return rng.choice(EXIST).format(one=article(text)), "yes" if meant else "no", meant, []


def ask_digit(rng, scene):
    digits = [o for o in scene.objects if o.is_digit]
    return (rng.choice(DIGIT), digits[0].kind, digits, []) if len(digits) == 1 else None


def ask_background(rng, scene):
    return (rng.choice(BACKGROUND), scene.background, [], []) if scene.background else None


def caption_of(scene) -> str:
    parts = [article(full_name(o)) for o in scene.objects]
    if not parts:
        return "Nothing."
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return text[0].upper() + text[1:] + "."


def ask_caption(rng, scene):
    return rng.choice(CAPTION), caption_of(scene), scene.objects, []


ASK = {"color": ask_color, "shape": ask_shape, "count": ask_count,
       "left/right": lambda r, s: ask_side(r, s, "x"),
       "above/below": lambda r, s: ask_side(r, s, "y"),
       "yes/no": ask_exist, "digit": ask_digit, "background": ask_background,
       "caption": ask_caption}


def vary(rng, text: str, answer: str) -> str:
    """Small differences in how people type, and in how they want the answer."""
    if answer in ("yes", "no") and rng.random() < 0.2:
        return text + rng.choice(YES_NO_ENDS)
    if answer.isdigit() and rng.random() < 0.1:
        return text + rng.choice(COUNT_ENDS)
    if not text:
        return text
    style = rng.random()
    if style < 0.12:
        text = text.lower()
    elif style < 0.18 and not answer.endswith("."):
        text = rng.choice(STARTS) + text
    elif style < 0.25 and not answer.endswith("."):
        text += rng.choice(ENDS)
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    return text


def ask(rng: random.Random, scene, kind: str):
    """(question, answer, first, second) of a kind, or None where the scene does not allow it."""
    return ASK[kind](rng, scene)


def ask_some(rng: random.Random, scene, count: int, weights: dict) -> list:
    """`count` questions of random kinds: (kind, question, answer, first, second)."""
    found = []
    kinds, shares = list(weights), list(weights.values())
    while len(found) < count:
        kind = rng.choices(kinds, shares)[0]
        asked = ask(rng, scene, kind)
        if asked:
            found.append((kind, vary(rng, asked[0], asked[1]), *asked[1:]))
    return found


def plain_wordings() -> list:
    """Every template with its slots emptied, for building the question vocabulary."""
    lists = [COLOR, COLOR_MANY, SHAPE, SHAPE_MANY, SHAPE_BY_COLOR, SHAPE_ALONE, COLOR_ALONE, COUNT, EXIST, DIGIT,
             BACKGROUND, CAPTION, WHICH, WHICH_COLOR, *EITHER.values(), *SIDES.values(),
             IS, STARTS, ENDS, YES_NO_ENDS, COUNT_ENDS,
             scenes.SHAPES, scenes.BACKGROUND_COLORS, PLURALS.values(),
             ["a an digit number object objects shape shapes thing things one yes no"]]
    return [text for group in lists for text in group]
