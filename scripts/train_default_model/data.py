"""Draws scenes ahead of training into flat files that are read through memory maps.

    python data.py --out DIR --shards 12 --per-shard 10000

A shard is a few files: NNN.images.npy uint8 [n, 96, 96, 3], NNN.owners.npy uint8 [n, 144]
(scenes.patch_owners), NNN.masks.npy uint8 [n, 144, 8] and NNN.silhouettes.npy uint8 [n, 5, 8] (bits
of scenes.patch_masks and scenes.silhouettes) and NNN.scenes.json.
"""

import argparse
import json
import random
from pathlib import Path

import numpy

import scenes

EVAL_SEED = 900_000_000  # seeds from here on belong to the evaluation, never to training


def write_shard(folder: Path, index: int, count: int) -> None:
    """Scene number k of a shard has the seed index * count + k; renamed into place when whole."""
    stem = f"{index:03d}"
    images = numpy.empty((count, scenes.IMAGE_SIZE, scenes.IMAGE_SIZE, 3), numpy.uint8)
    owners = numpy.empty((count, scenes.GRID ** 2), numpy.uint8)
    masks = numpy.empty((count, scenes.GRID ** 2, 8), numpy.uint8)
    silhouettes = numpy.empty((count, scenes.MAX_OBJECTS, 8), numpy.uint8)
    facts = []
    for k in range(count):
        seed = index * count + k
        assert seed < EVAL_SEED
        scene, picture, labels = scenes.make_scene(random.Random(seed))
        images[k] = scenes.model_input(picture)
        owners[k] = scenes.patch_owners(labels)
        masks[k] = numpy.packbits(scenes.patch_masks(labels), axis=1)
        silhouettes[k] = numpy.packbits(scenes.silhouettes(labels), axis=1)
        facts.append(scene.dump())
    numpy.save(folder / f"{stem}.masks.npy", masks)
    numpy.save(folder / f"{stem}.silhouettes.npy", silhouettes)
    numpy.save(folder / f"{stem}.owners.npy", owners)
    (folder / f"{stem}.scenes.json").write_text(json.dumps(facts))
    numpy.save(folder / f"{stem}.part.npy", images)
    (folder / f"{stem}.part.npy").rename(folder / f"{stem}.images.npy")


class Shards:
    """All finished shards of a folder, seen as one list; call refresh() to see new ones."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.images, self.labels, self.scenes = [], [], []
        self.refresh()

    def refresh(self) -> int:
        stems = sorted(p.name.split(".")[0] for p in self.folder.glob("*.images.npy"))
        for stem in stems[len(self.images):]:
            self.images.append(numpy.load(self.folder / f"{stem}.images.npy", mmap_mode="r"))
            self.labels.append([numpy.load(self.folder / f"{stem}.{name}.npy")
                                for name in ("owners", "masks", "silhouettes")])
            facts = json.loads((self.folder / f"{stem}.scenes.json").read_text())
            self.scenes.append([scenes.Scene.load(f) for f in facts])
        return len(self)

    def __len__(self) -> int:
        return sum(len(s) for s in self.scenes)

    def batch(self, indices) -> tuple:
        """(images uint8 [b, 96, 96, 3], (owners, masks, silhouettes), list of scenes)"""
        places = [divmod(int(i), len(self.scenes[0])) for i in indices]
        images = numpy.stack([self.images[s][row] for s, row in places])
        labels = tuple(numpy.stack([self.labels[s][part][row] for s, row in places])
                       for part in range(3))
        return images, labels, [self.scenes[s][row] for s, row in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--per-shard", type=int, default=10_000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for index in range(args.shards):
        if not (args.out / f"{index:03d}.images.npy").exists():
            write_shard(args.out, index, args.per_shard)
            print(f"shard {index} written", flush=True)


if __name__ == "__main__":
    main()
