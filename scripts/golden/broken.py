#!/usr/bin/env python3
"""Makes hostile and damaged checkpoint folders from good ones.

    broken.py OUT_DIR   writes OUT_DIR/<name>/ for each entry of TABLE, and OUT_DIR/broken.json:
                        [{"name", "base", "part", "folder", "file", "fields", "loads"}]

A server that is given such a folder must exit with status 1 and print one line that holds `file` and at least one of
`fields` (fields may be empty: the file's name is enough), unless `loads`: then `inspect` lists the fields. part says
who notices: "weights" and "config" the engine, "tokenizer" and "processor" the text and picture code.
"""

import argparse
import json
import pathlib
import shutil
import sys

from broken_decoders import DECODER_TABLE
from broken_pictures import PICTURE_TABLE
from broken_pixtral import PIXTRAL_TABLE
from broken_special import SPECIAL_TABLE
from broken_tokenizers import TOKENIZER_TABLE
from broken_towers import TOWER_TABLE
from broken_weights import WEIGHT_TABLE

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
TABLE = [*WEIGHT_TABLE, *DECODER_TABLE, *TOWER_TABLE, *TOKENIZER_TABLE, *PICTURE_TABLE, *PIXTRAL_TABLE,
         *SPECIAL_TABLE]


def make(broken, folder):
    """A damaged copy of its base in `folder`, which must not exist."""
    shutil.copytree(ROOT / broken.base, folder, ignore=shutil.ignore_patterns("golden.*"))
    broken.mutate(folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for broken in TABLE:
        shutil.rmtree(out / broken.name, ignore_errors=True)
        make(broken, out / broken.name)
        rows.append(
            {
                "name": broken.name,
                "base": broken.base,
                "part": broken.part,
                "folder": str(out / broken.name),
                "file": broken.file,
                "fields": list(broken.fields),
                "loads": broken.loads,
            }
        )
    (out / "broken.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} folders in {out}")


if __name__ == "__main__":
    sys.exit(main())
