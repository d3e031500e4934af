"""What no field of a config may be."""

from broken_files import Literal, config, config_row

HUGE = 10**9
NO_SIZE = [
    ("zero", 0),
    ("negative", -4),
    ("absurd", HUGE),
    ("past_int64", Literal("9" * 23)),
    ("fraction", 48.5),
    ("text", "48"),
    ("list", [48]),
    ("bool", True),
]
NO_NUMBER = [
    ("negative", -1.0),
    ("text", "1e-5"),
    ("nan", Literal("NaN")),
    ("infinite", Literal("1e999")),
    ("list", [1.0]),
]


def bad_values(base, prefix, names, values):
    """One entry for each field and each value it must not have."""
    rows = []
    for name in names:
        for label, value in values:
            path = prefix + name
            # A literal may already be refused as JSON; an absurd size as a tensor of another shape.
            fields = (
                ()
                if isinstance(value, Literal)
                else (name, ".safetensors") if value == HUGE else (name,)
            )
            rows.append(
                config_row(
                    f"{base}_{path.replace('.', '_')}_{label}",
                    config(path, value),
                    *fields,
                    base=base,
                    file="" if value == HUGE else "config.json",
                )
            )
    return rows
