"""Random JSON schemas of every supported keyword, small enough that a random text soon comes to its end."""

PATTERNS = ["^[a-z]{1,4}$", "[0-9]{2}-[0-9]{2}", "^(foo|bar)+$", "^a.{0,3}z$", '^"q"$', r"^\\$", r"^\S\s\w$",
            "x?y{2,3}", "^[^abc]{2}$", "^é{1,2}ü$", r"^\d+(\.\d{2})?$", "^(ab|c)?$", r"^\u00e4[\u4e00-\u4e10]$"]
FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]
NAMES = ["a", "name", "x y", 'quo"te', "naïve", "id", "b\\c", "日本"]


def number_bounds(random, whole):
    low = random.choice([-1000, -37, -1, 0, 0.5, 1, 9.99, 42, 1e6] if not whole else [-1000, -7, 0, 1, 99, 12345])
    high = low + random.choice([0, 1, 3, 58, 1000] if whole else [0.25, 1, 3.75, 100])
    schema = {}
    if random.random() < 0.7:
        schema[random.choice(["minimum", "exclusiveMinimum"])] = low
    if random.random() < 0.7:
        schema["maximum"] = high
        if random.random() < 0.3 and high > low + 1:
            schema["exclusiveMaximum"] = schema.pop("maximum")
    if whole and "exclusiveMinimum" in schema and schema.get("maximum", high + 1) <= low:
        del schema["exclusiveMinimum"]
    return schema


def string(random):
    kind = random.random()
    if kind < 0.3:
        return {"type": "string", "pattern": random.choice(PATTERNS)}
    if kind < 0.6:
        return {"type": "string", "format": random.choice(FORMATS)}
    low = random.randint(0, 3)
    return {"type": "string", "minLength": low, "maxLength": low + random.randint(0, 8)}


def number(random):
    whole = random.random() < 0.6
    schema = {"type": "integer" if whole else "number", **number_bounds(random, whole)}
    if random.random() < 0.2:
        schema = {"type": schema["type"], "multipleOf": random.choice([2, 7, 25]), "minimum": 0}
        if random.random() < 0.5:
            schema["maximum"] = 500
    return schema


def array(random, depth):
    if random.random() < 0.25:
        items = [value(random, depth - 1) for _ in range(random.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False}
    low = random.randint(0, 2)
    return {"type": "array", "items": value(random, depth - 1), "minItems": low,
            "maxItems": low + random.randint(0, 2)}


def obj(random, depth):
    names = random.sample(NAMES, random.randint(0, 4))
    schema = {"type": "object", "properties": {name: value(random, depth - 1) for name in names},
              "required": [name for name in names if random.random() < 0.6]}
    kind = random.random()
    if kind < 0.5:
        schema["additionalProperties"] = False
    elif kind < 0.6:
        schema["additionalProperties"] = {"type": "boolean"}
    if not names:
        schema = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 9},
                  "maxProperties": 2}
    return schema


def value(random, depth):
    kind = random.random()
    if depth <= 0 or kind < 0.45:
        return random.choice([
            lambda: string(random),
            lambda: string(random),
            lambda: number(random),
            lambda: number(random),
            lambda: {"type": "boolean"},
            lambda: {"type": "null"},
            lambda: {"enum": random.sample([1, "one", None, True, 2.5, "zwölf", [1, 2], {"k": "v"}], 3)},
            lambda: {"const": random.choice(["x", 0, False, {"deep": [1]}, 'with "quotes"'])},
            lambda: {"type": ["string", "null", "integer"], "maxLength": 3, "minimum": 0, "maximum": 20},
            lambda: {"$ref": "#/$defs/leaf"},
        ])()
    if kind < 0.6:
        return array(random, depth)
    if kind < 0.9:
        return obj(random, depth)
    if kind < 0.95:
        return {"anyOf": [value(random, depth - 1), value(random, depth - 1)]}
    if kind < 0.98:
        return {"allOf": [obj_part(random, "left", depth), obj_part(random, "right", depth)]}
    return {"oneOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "string", "maxLength": 2}]}


def obj_part(random, name, depth):
    return {"type": "object", "properties": {name: value(random, depth - 1)}, "required": [name]}


def schema(random):
    root = obj(random, 3) if random.random() < 0.8 else value(random, 3)
    root["$defs"] = {
        "leaf": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"type": "null"}]},
                                                  "v": {"type": "integer", "minimum": 0, "maximum": 9}},
                 "required": ["v"], "additionalProperties": False},
    }
    return root
