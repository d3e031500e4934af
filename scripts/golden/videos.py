#!/usr/bin/env python3
"""Makes tests/golden/videos: one short clip in every container and codec that tests ask for. Needs the ffmpeg program
and Pillow.

Frame i of 24 is gray 20 + 9 i on its left half and 235 - 9 i on its right, so that a test can tell which frame it sees
whatever the codec did to it.
"""

import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "videos"
WIDTH, HEIGHT, FRAMES, FPS = 48, 32, 24, 12

CLIPS = {
    # References to later frames: packets are not in the order of display.
    "h264.mp4": "-c:v libx264 -bf 2 -g 8 -pix_fmt yuv420p -movflags +faststart",
    "mpeg4.mp4": "-c:v mpeg4 -g 12 -q:v 3",
    "vp9.webm": "-c:v libvpx-vp9 -g 8 -crf 30 -b:v 0 -pix_fmt yuv420p",
    "vp8.webm": "-c:v libvpx -g 24 -deadline good -cpu-used 0 -b:v 200k -auto-alt-ref 1 -lag-in-frames 16 "
                "-pix_fmt yuv420p",
    "mjpeg.avi": "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p",
}


def frames():
    for i in range(FRAMES):
        frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        frame[:, : WIDTH // 2] = 20 + 9 * i
        frame[:, WIDTH // 2 :] = 235 - 9 * i
        yield frame


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    raw = b"".join(frame.tobytes() for frame in frames())
    for name, options in CLIPS.items():
        source = f"-f rawvideo -pix_fmt rgb24 -s {WIDTH}x{HEIGHT} -r {FPS} -i -"
        command = f"ffmpeg -v error -y {source} -fflags +bitexact -flags:v +bitexact -map_metadata -1 {options}"
        subprocess.run([*command.split(), str(OUT / name)], input=raw, check=True)
        print(name, (OUT / name).stat().st_size)
    # Pillow keeps the gray levels; hundredths of a second add up to 12 frames each second.
    first, *others = [Image.fromarray(frame) for frame in frames()]
    first.save(OUT / "clip.gif", save_all=True, append_images=others, duration=[80, 80, 90] * (FRAMES // 3), loop=0)


if __name__ == "__main__":
    sys.exit(main())
