#!/usr/bin/env python3
"""Renders variety.bin, once; it is committed: 200 lines of text in many faces, sizes and contrasts, in 16 shades of grey, cut out with a small border and
scaled to 48 pixels of height as a text detector hands them over.

Needs Debian's python3-pil and fonts-dejavu. Deterministic for given versions of both. Format: a zlib stream of, per line, u16 width (even), u16 bytes of text, the text in UTF-8, and 48 rows of width / 2 bytes,
two pixels per byte, the left one in the high half; numbers are little-endian.
"""
import pathlib
import random
import struct
import zlib

from PIL import Image, ImageDraw, ImageFont

here = pathlib.Path(__file__).parent
folder = pathlib.Path("/usr/share/fonts/truetype/dejavu")
faces = sorted(p.name for p in folder.glob("DejaVuS*.ttf"))
nouns = """river garden window paper market station letter summer kitchen bottle engine harbour mountain ticket teacher
picture island coffee battery library pocket camera village bridge carpet doctor forest hammer jacket ladder mirror
needle orange pencil quarter rabbit saddle tunnel uncle valley winter yellow basket candle dinner evening factory""".split()
verbs = "opens closes holds finds brings leaves keeps moves takes needs shows breaks joins reads sends turns".split()
rules = [
    lambda r: f"The {r.choice(nouns)} {r.choice(verbs)} the {r.choice(nouns)}",
    lambda r: f"{r.choice(nouns).title()} {r.randint(1, 999)}, {r.choice(nouns)} {r.choice('ABCDEFGHJK')}{r.randint(10, 99)}",
    lambda r: f"{r.randint(1, 28):02}/{r.randint(1, 12):02}/20{r.randint(10, 39)} {r.randint(0, 23):02}:{r.randint(0, 59):02}",
    lambda r: f"{r.choice(nouns)}@{r.choice(nouns)}.com",
    lambda r: f"Total {r.randint(1, 9)},{r.randint(100, 999)}.{r.randint(10, 99)} EUR",
    lambda r: f"{r.choice(nouns)} and {r.choice(nouns)} ({r.randint(2, 60)}%)",
    lambda r: f"{r.choice(nouns).upper()} {r.choice(nouns).upper()} No. {r.randint(100, 9999)}",
    lambda r: f"{''.join(r.choices('ABCDEFGHJKLMNPRSTUVWXYZ', k=3))}-{r.randint(1000, 9999)}-{''.join(r.choices('abcdefghkmnpqrstuvwxyz', k=4))}",
]
r = random.Random(20260417)
out = bytearray()
for i in range(200):
    text = rules[i % len(rules)](r)
    size = r.randint(14, 40)
    font = ImageFont.truetype(str(folder / faces[i % len(faces)]), size)
    left, top, right, bottom = font.getbbox(text)
    light, dark = r.randint(170, 255), r.randint(0, 90)
    paper, ink = (light, dark) if r.random() < 0.85 else (dark, light)
    border = max(2, size * r.randint(10, 25) // 100)
    box = Image.new("L", (right - left + 2 * border, bottom - top + 2 * border), paper)
    ImageDraw.Draw(box).text((border - left, border - top), text, font=font, fill=ink)
    width = round(48 * box.width / box.height / 2) * 2
    image = box.resize((width, 48), Image.BILINEAR)
    pixels = [p * 15 // 255 for p in image.tobytes()]
    encoded = text.encode()
    out += struct.pack("<HH", width, len(encoded)) + encoded + bytes(a << 4 | b for a, b in zip(pixels[::2], pixels[1::2]))
(here / "variety.bin").write_bytes(zlib.compress(bytes(out), 9))
