"""What CONTRIBUTING.md shows of the sources is what they are."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_LINES = 100


def shown_diff():
    """{file: added lines} of CONTRIBUTING.md's diff."""
    [text] = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    added, current = {}, None
    for line in text.splitlines():
        if line.startswith(("--- a/", "+++ b/")):
            current = added.setdefault(line[6:], [])
        elif line.startswith("+"):
            current.append(line[1:])
    return added


def test_the_family_shown_in_full_is_that_of_the_sources():
    added = shown_diff()
    assert sum(map(len, added.values())) < MOST_LINES
    for name, lines in added.items():
        source = (ROOT / name).read_text().splitlines()
        if len(lines) > 1:
            assert lines == source, name
        else:
            assert lines[0] in source, name
    assert len(added) == 4
