#!/usr/bin/env python3
"""Renders the 20 lines of lines.txt to 8-bit grey PGM images, 48 pixels high, once; the images are committed.

Needs Debian's python3-pil and fonts-dejavu-core, fonts-liberation. Deterministic for a given font version.
"""
from PIL import Image, ImageDraw, ImageFont
import pathlib

here = pathlib.Path(__file__).parent
fonts = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
]
for i, line in enumerate((here / "lines.txt").read_text(encoding="utf-8").splitlines()):
    font = ImageFont.truetype(fonts[i % len(fonts)], 30)
    left, top, right, bottom = font.getbbox(line)
    image = Image.new("L", (right + 24, 48), 255 - 8 * (i % 5))
    ImageDraw.Draw(image).text((12, 24 - (top + bottom) / 2), line, font=font, fill=10 * (i % 4))
    (here / f"line{i:02}.pgm").write_bytes(b"P5 %d %d 255\n" % image.size + image.tobytes())
