"""The LLaVA line beyond LLaVA-1.5, tiles and videos, written from the formulas. Shares no code with the library."""

from fractions import Fraction
import math

import torch

from plain_models import Tower, gelu, linear

FAMILIES = ("llava_next", "llava_next_video", "llava_onevision", "video_llava")


def _window(rows, columns, height, width):
    """(top, left, height, width) of the features that show the picture, of a grid of rows x columns features.

    In exact arithmetic where the library rounds to 7 decimals: it must only agree for the pictures of the goldens.
    """
    top = left = 0
    if Fraction(width, height) > Fraction(columns, rows):
        top = (rows - math.floor(Fraction(height * columns, width))) // 2
    else:
        left = (columns - math.floor(Fraction(width * rows, height))) // 2
    return top, left, rows - 2 * top, columns - 2 * left


def _bilinear(grid, height, width):
    """[rows, columns, H] sampled at the middles of height x width cells."""
    for axis, size in ((0, height), (1, width)):
        have = grid.shape[axis]
        place = ((torch.arange(size).double() + 0.5) * have / size - 0.5).clamp(min=0)
        low = place.floor().long().clamp(max=have - 1)
        high = (low + 1).clamp(max=have - 1)
        share = (place - low).to(grid.dtype)
        share = share.reshape([-1 if a == axis else 1 for a in range(3)])
        grid = grid.index_select(axis, low) * (1 - share) + grid.index_select(axis, high) * share
    return grid


def join(tiles, grid, newline, max_tiles=None):
    """tiles [1 + r*c, side*side, H], grid [r, c, height, width] of the picture -> [tokens, H]."""
    r, c, height, width = grid
    side = math.isqrt(tiles.shape[1])
    canvas = torch.zeros(r * side, c * side, tiles.shape[2], dtype=tiles.dtype)
    for index, tile in enumerate(tiles[1:]):
        y, x = index // c * side, index % c * side
        canvas[y : y + side, x : x + side] = tile.reshape(side, side, -1)
    top, left, rows, columns = _window(r * side, c * side, height, width)
    canvas = canvas[top : top + rows, left : left + columns]
    if max_tiles:
        ratio = math.sqrt(rows * columns / (max_tiles * side * side))
        if ratio > 1.1:
            canvas = _bilinear(canvas, int(rows // ratio), int(columns // ratio))
    lines = [torch.cat([line, newline[None]]) for line in canvas]
    return torch.cat([tiles[0], *lines])


def stages(model, case, pixels):
    """Visual tokens of the case's pictures and videos, one after another."""
    kinds = case.get("kinds") or ["image"] * len(case["parts"])
    rows = []
    for index, (parts, kind) in enumerate(zip(case["parts"], kinds, strict=True)):
        own, pixels = pixels[:parts], pixels[parts:]
        if kind == "video":
            rows.append(_video(model, own))
        else:
            rows.append(_picture(model, own, case["grids"][index] if "grids" in case else None))
    return {"connector": torch.cat(rows)}


def _selected(model, tower, pixels, keep_first):
    """[n, rows, D] of the chosen hidden state."""
    layer = model.config.get("vision_feature_layer", -1 if _onevision(model) else -2)
    default = "full" if _onevision(model) else "default"
    drops = model.config.get("vision_feature_select_strategy", default) == "default"
    first = 1 if drops and not keep_first else 0
    return torch.stack([tower(picture)[layer][first:] for picture in pixels])


def _onevision(model):
    return model.family == "llava_onevision"


def _project(model, rows):
    hidden = gelu(linear(model.w, "projector.linear_1", rows))
    return linear(model.w, "projector.linear_2", hidden)


def _picture(model, pixels, grid):
    tiles = _project(model, _selected(model, model.tower, pixels, False))
    if grid is None:
        return tiles.flatten(0, 1)
    if grid[0] == 0:
        return torch.cat([tiles[0], model.w["newline"][None]])
    most = None
    if _onevision(model):
        most = int(model.config.get("vision_aspect_ratio", "anyres_max_9").rpartition("_")[2])
    return join(tiles, grid, model.w["newline"], most)


def _video(model, pixels):
    if model.family == "video_llava":
        tower = Tower(model.config["vision_config"], model.w, "video.")
        return _project(model, _selected(model, tower, pixels, True)).flatten(0, 1)
    frames = _selected(model, model.tower, pixels, False)
    side = math.isqrt(frames.shape[1])
    if _onevision(model):
        half = (side + 1) // 2
        frames = _project(model, frames).reshape(-1, side, side, model.w["newline"].shape[0])
        rows = torch.cat([_bilinear(frame, half, half).flatten(0, 1) for frame in frames])
        return torch.cat([rows, model.w["newline"][None]])
    frames = frames.reshape(-1, side // 2, 2, side // 2, 2, frames.shape[2])
    return _project(model, frames.mean(dim=(2, 4)).flatten(0, 2))
