"""Random small expressions of the template language, for both sides to evaluate."""

import random

VARIABLES = {
    "s": "Hello, Wörld ß",
    "t": "  a-b c\n",
    "e": "",
    "n": 7,
    "z": 0,
    "f": 2.5,
    "g": -0.125,
    "yes": True,
    "nil": None,
    "xs": [3, 1, 2],
    "names": ["b", "A", "c", "a"],
    "mixed": [1, "1", None, 2.0, True],
    "d": {"a": 1, "B": [1, 2], "items": "x", "c d": {"e": "f"}},
    "rows": [{"k": "x", "v": 2}, {"k": "Y", "v": 1}, {"k": "x"}],
}
STRINGS = ["s", "t", "e", "'abc'", "'a,b,,c'", "'ÀÉ ñ 日本 ok'", "'x=%s'", "'{}-{}'", "'42'", "' 3.50 '"]
NUMBERS = ["n", "z", "f", "g", "0", "1", "2", "3", "-1", "10", "2.0", "1e3", "0.1", "7.5", "yes"]
LISTS = ["xs", "names", "mixed", "rows", "[]", "[1, 2, 2, 3]", "['x', 'yy']", "(1, 'a')", "range(4)"]
ODD = ["nil", "missing", "d", "{}", "{'k': 1, 2: 'z'}", "true", "false", "missing.x"]

STRING_METHODS = [
    ".upper()", ".lower()", ".title()", ".capitalize()", ".swapcase()", ".strip()", ".lstrip('H ')",
    ".rstrip('ß\\n')", ".strip('a')", ".split()", ".split(',')", ".split(' ', 1)", ".rsplit('-', 1)",
    ".rsplit(maxsplit=1)", ".splitlines()", ".splitlines(true)", ".startswith('H')",
    ".startswith(('a', 'H'))", ".endswith('c')", ".replace('a', 'bb')", ".replace('', '.')",
    ".replace('l', '', 1)", ".find('l')", ".rfind('l')", ".find('z')", ".index('a')", ".count('l')",
    ".count('')", ".join(['x', 'y'])", ".join(names)", ".join(xs)", ".format(1, 'q')", ".format(n, f)",
    ".isdigit()", ".isalpha()", ".isalnum()", ".isspace()", ".isupper()", ".islower()", ".istitle()",
    ".zfill(6)", ".center(9, '*')", ".ljust(5)", ".rjust(20)", ".partition('-')", ".rpartition(',')",
    ".removeprefix('He')", ".removesuffix('c')", ".expandtabs(4)", ".casefold()",
]
OTHER_METHODS = [
    ".nothing",
    ".append(1)", ".count(2)", ".index(2)", ".index('A')", ".copy()", ".get('a')", ".get('q', 5)",
    ".items()", ".keys()", ".values()", ".a", ".B[0]", "['a']", "['c d'].e", ".pop('a')",
    ".update({})", ".__class__", ".is_integer()", ".bit_length()",
]
SUBSCRIPTS = [
    "[0]", "[-1]", "[1]", "[99]", "[:2]", "[1:]", "[::-1]", "[::2]", "[-2:]", "[:-1]", "[3:1:-1]",
    "[1:99]", "[-99:2]", "['x']", "[n]", "[missing]", "[::0]", "[nil:2]", "['a':]", "[1, 2]", "[true]",
]
FILTERS = [
    "upper", "lower", "capitalize", "title", "trim", "trim('a ')", "length", "count", "first", "last",
    "list", "string", "int", "int(9)", "int('x', 16)", "float", "float(1)", "abs", "round", "round(1)",
    "round(1, 'ceil')", "round(0, 'floor')", "round(-1)", "tojson", "tojson(indent=2)",
    "tojson(sort_keys=true)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))",
    "tojson(indent='--')", "replace('a', 'X')", "replace(1, 2)", "replace('b', 'c', 1)", "default('D')",
    "d('D', true)", "join", "join(', ')", "join('-', attribute='k')", "map('upper') | list",
    "map(attribute='k') | list", "map(attribute='v', default=0) | list", "map('string') | join('+')",
    "map('length') | list", "map('default', 9) | list", "select | list", "select('odd') | list",
    "select('string') | list", "reject('none') | list", "select('gt', 1) | list",
    "selectattr('v') | list", "selectattr('k', 'equalto', 'x') | list",
    "selectattr('v', 'defined') | map(attribute='v') | sum", "rejectattr('k', 'eq', 'x') | list",
    "items | list", "dictsort", "dictsort(true)", "dictsort(false, 'value')", "dictsort(reverse=true)",
    "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "sort(attribute='k')",
    "sort(attribute='k,v')", "unique | list", "unique(true) | list", "unique(attribute='k') | list",
    "reverse", "reverse | list", "min", "max", "max(attribute='v')", "sum", "sum(start=1)",
    "batch(2) | list", "batch(2, 0) | list", "slice(2) | list", "slice(3, 'f') | list",
    "groupby('k')", "groupby('v', default=0) | list", "groupby('k') | map(attribute='list') | list",
    "indent", "indent(2, true)", "indent('>', blank=true)", "wordcount", "format(1)", "format('q', 2)",
    "truncate(5)", "truncate(6, true)", "truncate(4, false, '', 0)", "safe", "escape", "e", "center(11)",
    "filesizeformat", "filesizeformat(true)", "attr('a')", "forceescape",
]
TESTS = [
    "defined", "undefined", "none", "not none", "string", "number", "integer", "float", "boolean",
    "mapping", "sequence", "iterable", "callable", "true", "false", "odd", "even", "divisibleby 2",
    "divisibleby(3)", "equalto 7", "eq 'abc'", "ne 1", "gt 1", "ge 2", "lt 'b'", "le 3", "in [1, 7]",
    "in 'abc'", "not in xs", "sameas nil", "sameas true", "lower", "upper", "escaped", "filter", "test",
]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in",
             "and", "or", "**"]


class Expressions:
    def __init__(self, seed: int):
        self.rng = random.Random(seed)

    def atom(self) -> str:
        kind = self.rng.random()
        pool = STRINGS if kind < 0.35 else NUMBERS if kind < 0.6 else LISTS if kind < 0.82 else ODD
        return self.rng.choice(pool)

    def postfix(self, depth: int) -> str:
        out = self.atom() if depth == 0 or self.rng.random() < 0.6 else f"({self.any(depth - 1)})"
        # Mostly methods that the value has: an error says little about what the others print.
        fitting = STRING_METHODS if out in STRINGS else OTHER_METHODS
        methods = fitting if self.rng.random() < 0.9 else STRING_METHODS + OTHER_METHODS
        for _ in range(self.rng.choice([0, 0, 0, 1])):
            out += self.rng.choice(methods if self.rng.random() < 0.65 else SUBSCRIPTS)
        for _ in range(self.rng.choice([0, 0, 1, 2])):
            out += " | " + self.rng.choice(FILTERS)
        if self.rng.random() < 0.15:
            out += " is " + self.rng.choice(TESTS)
        return out

    def any(self, depth: int = 2) -> str:
        rng = self.rng
        kind = rng.random()
        if depth == 0 or kind < 0.5:
            return self.postfix(depth)
        if kind < 0.78:
            operator = rng.choice(OPERATORS)
            # Powers stay small, so that Python's long integers do.
            right = rng.choice(["2", "3", "-1", "0.5", "0"]) if operator == "**" else self.postfix(depth - 1)
            return f"{self.postfix(depth - 1)} {operator} {right}"
        if kind < 0.83:
            return f"{rng.choice(['not ', '-', '+'])}{self.postfix(depth - 1)}"
        if kind < 0.88:
            return f"{self.postfix(depth - 1)} if {self.postfix(depth - 1)} else {self.postfix(depth - 1)}"
        if kind < 0.90:
            return f"{self.postfix(depth - 1)} if {self.postfix(depth - 1)}"
        if kind < 0.94:
            return f"[{self.any(depth - 1)}, {self.any(depth - 1)}]"
        if kind < 0.97:
            return f"{{'k': {self.any(depth - 1)}, {self.atom()}: {self.any(depth - 1)}}}"
        return " ".join([self.atom(), rng.choice(["<", "<=", "==", "!="]), self.atom(),
                         rng.choice(["<", ">", "=="]), self.atom()])

    def template(self) -> str:
        if self.rng.random() < 0.85:
            return "{{ " + self.any() + " }}"
        loop = self.rng.choice(["loop.index", "loop.last", "loop.revindex0", "loop.previtem", "loop.length",
                                "loop.nextitem", "loop.cycle(1, 2)", "loop.changed(x)", "loop"])
        condition = self.rng.choice(["", "", " if x", " if x is string"])
        return ("{% for x in " + self.postfix(1) + condition + " %}{{ x }}:{{ " + loop + " }};"
                "{% else %}none{% endfor %}{% set y = " + self.any(1) + " %}{{ y | string | length }}")
