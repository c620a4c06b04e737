#!/usr/bin/env python3
"""A reader of ModelPack artifacts (.mpack) in one file: Python 3.8+ and numpy.

Written from formats/pack/SPEC.md and the codec and number format specifications alone; shares no code with ModelPack.

    python3 mpack_reader.py list model.mpack
    python3 mpack_reader.py read model.mpack TENSOR out.npy      # dense values, dequantised
    python3 mpack_reader.py blob model.mpack NAME out.bin
    python3 mpack_reader.py verify model.mpack                   # decodes everything
    python3 mpack_reader.py read delta.mpack TENSOR out.npy --base old.safetensors

Chunks coded with Zstandard need the module `compression.zstd` (Python 3.14) or `zstandard`. Checksums are checked when the
module `xxhash` is there; without it, what can be checked without is.
"""
import hashlib
import json
import math
import os
import re
import struct
import sys

import numpy as np

try:
    import xxhash
except ImportError:
    xxhash = None


class ArtifactError(Exception):
    """The file is not an artifact, or damaged, or needs something this reader does not have."""


def require(condition, message):
    if not condition:
        raise ArtifactError(message)


def check_hash(data, expected, what):
    if xxhash is not None:
        require(xxhash.xxh3_64_intdigest(bytes(data)) == expected, f"{what}: checksum does not match")


# ---- codecs (formats/codecs/*/SPEC.md) ----------------------------------------------------------------------------

def zstd_decode(data, raw_length):
    try:
        from compression import zstd
        raw = zstd.decompress(bytes(data))
    except ImportError:
        try:
            import zstandard
        except ImportError:
            raise ArtifactError("this chunk is coded with Zstandard: install the Python module 'zstandard' (or use Python 3.14)") from None
        raw = zstandard.ZstdDecompressor().decompress(bytes(data), max_output_size=raw_length)
    require(len(raw) == raw_length, "zstd: wrong length")
    return raw


def lz4_decode(data, raw_length):
    out = bytearray()
    at, end = 0, len(data)

    def more(length, at):
        while True:
            require(at < end, "lz4: ends inside a length")
            byte = data[at]
            at += 1
            length += byte
            if byte != 255:
                return length, at

    while True:
        require(at < end, "lz4: ends before a token")
        token = data[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            literals, at = more(literals, at)
        require(literals <= end - at and len(out) + literals <= raw_length, "lz4: literals leave the block")
        out += data[at:at + literals]
        at += literals
        if at == end:
            break
        require(end - at >= 2, "lz4: ends inside an offset")
        offset = data[at] | data[at + 1] << 8
        at += 2
        length = token & 15
        if length == 15:
            length, at = more(length, at)
        length += 4
        require(0 < offset <= len(out) and len(out) + length <= raw_length, "lz4: match leaves the block")
        start = len(out) - offset
        if offset >= length:
            out += out[start:start + length]
        else:
            pattern = bytes(out[start:])
            out += (pattern * (length // offset + 1))[:length]
    require(len(out) == raw_length, "lz4: wrong length")
    return bytes(out)


def constant_decode(data, raw_length):
    require(len(data) in (1, 2, 4, 8, 16, 32, 64) and len(data) < raw_length, "constant: wrong pattern length")
    return (bytes(data) * (raw_length // len(data) + 1))[:raw_length]


def planes_decode(data, raw_length):
    require(len(data) >= 1 and data[0] & 0xE0 == 0, "planes-zstd: wrong first byte")
    width, rotate = data[0] & 0x0F, bool(data[0] & 0x10)
    require(width in (2, 4, 8), "planes-zstd: wrong width")
    elements, tail = raw_length // width, raw_length % width
    at = 1 + 5 * width
    require(elements > 0 and len(data) >= at + tail, "planes-zstd: too short")
    unsigned = {2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
    values = np.zeros(elements, unsigned)
    for i, plane in enumerate(range(width - 1, -1, -1)):
        mode, length = struct.unpack_from("<Bi", data, 1 + 5 * i)
        require(0 < length <= len(data) - tail - at, "planes-zstd: a plane leaves the chunk")
        stored = data[at:at + length]
        at += length
        if mode == 0:
            require(length == elements, "planes-zstd: wrong plane length")
            raw = stored
        elif mode == 1:
            raw = zstd_decode(stored, elements)
        elif mode == 2:
            require(length == 1, "planes-zstd: wrong constant")
            raw = bytes(stored) * elements
        else:
            raise ArtifactError("planes-zstd: unknown mode")
        values |= np.frombuffer(raw, np.uint8).astype(unsigned) << unsigned(8 * plane)
    require(at + tail == len(data), "planes-zstd: bytes left over")
    if rotate:
        values = values >> unsigned(1) | values << unsigned(8 * width - 1)
    return values.astype(values.dtype.newbyteorder("<")).tobytes() + bytes(data[at:])


HUFFMAN_BITS, HUFFMAN_SECTION = 11, 131072


def huffman_table(data, at):
    """Symbol and code length of every window of 11 bits, and where the table ends."""
    require(len(data) - at >= 3, "huffman: too short for a table")
    symbol, end = data[at], data[at] + data[at + 1] + 1
    require(end <= 256, "huffman: the table goes past the last symbol")
    nibbles, used = 2 * (at + 2), 0

    def nibble():
        nonlocal used
        byte, high = divmod(nibbles + used, 2)
        require(byte < len(data), "huffman: ends inside a table")
        used += 1
        return data[byte] >> 4 if high else data[byte] & 15

    lengths = {}
    while symbol < end:
        value = nibble()
        if value == 15:
            symbol += 3 + nibble()
            continue
        require(value <= HUFFMAN_BITS, "huffman: unknown nibble")
        if value:
            lengths[symbol] = value
        symbol += 1
    require(symbol == end and (used % 2 == 0 or nibble() == 0), "huffman: wrong end of a table")
    order = sorted(lengths, key=lambda s: (lengths[s], s))
    widths = [1 << (HUFFMAN_BITS - lengths[s]) for s in order]
    require(sum(widths) == 1 << HUFFMAN_BITS, "huffman: the code is not complete")
    symbols = np.repeat(np.array(order, np.uint8), widths)
    bits = np.repeat(np.array([lengths[s] for s in order], np.uint8), widths)
    return symbols, bits, at + 2 + (used + 1) // 2


def huffman_stream(data, count, symbols, bits):
    """One stream: the windows of all bit positions at once, then a walk from code word to code word."""
    require(len(data) > 0 and data[-1] != 0, "huffman: a stream without end mark")
    end = 8 * len(data) - (data[-1] & -data[-1]).bit_length()
    padded = np.frombuffer(bytes(data) + bytes(3), np.uint8).astype(np.uint32)
    words = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    shifts = 24 - HUFFMAN_BITS - np.arange(8, dtype=np.uint32)
    windows = (words[:, None] >> shifts & ((1 << HUFFMAN_BITS) - 1)).ravel()
    steps = bits[windows].tolist()
    at, positions = 0, []
    for _ in range(count):
        require(at < end, "huffman: a stream ends early")
        positions.append(at)
        at += steps[at]
    require(at == end, "huffman: a stream does not end at its mark")
    return symbols[windows[positions]]


def huffman_block(data, count):
    parts, at, table = [], 0, None
    while count:
        if table is not None and data[at:at + 2] == b"\xff\xff":
            at += 2
        else:
            *table, at = huffman_table(data, at)
        section = min(count, HUFFMAN_SECTION)
        count -= section
        streams = 8 if section >= 4096 else 1
        require(len(data) - at >= 2 * streams, "huffman: ends inside the stream lengths")
        lengths = struct.unpack_from(f"<{streams}H", data, at)
        at += 2 * streams
        require(sum(lengths) <= len(data) - at, "huffman: a stream leaves the block")
        each = -(-section // streams)
        for j, length in enumerate(lengths):
            parts.append(huffman_stream(data[at:at + length], min(each, section - j * each), *table))
            at += length
    require(at == len(data), "huffman: bytes left over")
    return np.concatenate(parts).tobytes()


def huffman_plane(mode, data, count):
    if mode == 1:
        return huffman_block(data, count)
    require(mode == 2 and len(data) == 1, "huffman: unknown mode or wrong constant")
    return bytes(data) * count


def huffman_decode(data, raw_length):
    require(len(data) >= 2, "huffman: too short")
    return huffman_plane(data[0], data[1:], raw_length)


def planes_huffman_decode(data, raw_length):
    require(len(data) >= 2 and data[0] in (2, 4, 8) and data[1] < 8 * data[0], "planes-huffman: wrong header")
    width, moved = data[0], data[1]
    elements, tail = raw_length // width, raw_length % width
    at = 2 + 5 * width
    require(elements > 0 and len(data) >= at + tail, "planes-huffman: too short")
    unsigned = {2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
    values = np.zeros(elements, unsigned)
    for i, plane in enumerate(range(width - 1, -1, -1)):
        mode, length = struct.unpack_from("<Bi", data, 2 + 5 * i)
        require(0 < length <= len(data) - tail - at, "planes-huffman: a plane leaves the chunk")
        stored = data[at:at + length]
        at += length
        require(mode != 0 or length == elements, "planes-huffman: wrong plane length")
        raw = stored if mode == 0 else huffman_plane(mode, stored, elements)
        values |= np.frombuffer(raw, np.uint8).astype(unsigned) << unsigned(8 * plane)
    require(at + tail == len(data), "planes-huffman: bytes left over")
    sign = 1 << (8 * width - 1)
    low = (sign >> moved) - 1
    exponent = sign - 1 - low
    values = (values >> unsigned(1) & unsigned(exponent)) | (values << unsigned(moved) & unsigned(sign)) | (values & unsigned(low))
    return values.astype(values.dtype.newbyteorder("<")).tobytes() + bytes(data[at:])


def palette_decode(data, raw_length):
    require(len(data) >= 2 and data[0] in (2, 4, 8), "palette: wrong header")
    width, entries = data[0], data[1] + 1
    elements, tail = raw_length // width, raw_length % width
    at = 2 + entries * width
    require(elements > 0 and len(data) > at + tail, "palette: too short")
    palette = np.frombuffer(data[2:at], f"<u{width}")
    require(bool((palette[1:] > palette[:-1]).all()), "palette: does not ascend")
    bits = 1 if entries <= 2 else 2 if entries <= 4 else 4 if entries <= 16 else 8
    count = (elements * bits + 7) // 8
    mode, stored = data[at], data[at + 1:len(data) - tail]
    require(mode != 0 or len(stored) == count, "palette: wrong length")
    packed = np.frombuffer(stored if mode == 0 else huffman_plane(mode, stored, count), np.uint8)
    indices = (packed[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & ((1 << bits) - 1)).reshape(-1)
    require(int(indices[:elements].max()) < entries and not indices[elements:].any(), "palette: a wrong index")
    return palette[indices[:elements]].tobytes() + bytes(data[len(data) - tail:])


# rANS (formats/codecs/Rans/SPEC.md)

RANS_LOW = 1 << 15
RANS_TAIL = 240


def bit_fields(data, starts, counts):
    """Fields of up to 31 bits that begin at bits `starts` of a bit string."""
    padded = np.frombuffer(bytes(data) + bytes(8), np.uint8).astype(np.uint64)
    words = sum(padded[i + (starts >> 3)] << np.uint64(8 * i) for i in range(5))
    return words >> (starts & 7).astype(np.uint64) & ((np.uint64(1) << counts.astype(np.uint64)) - np.uint64(1))


def packed_fields(data, count, bits):
    """`count` fields of `bits` bits each, one after the other."""
    return bit_fields(data, np.arange(count, dtype=np.int64) * bits, np.full(count, bits))


def rans_section(mode, data, count):
    if mode == 0:
        require(len(data) == count, "rans: wrong length of a section")
        return bytes(data)
    return huffman_plane(mode, data, count)


def rans_block(data, count):
    """The symbols of a block and the states at its end."""
    require(len(data) >= 10, "rans: too short")
    flags, size, escape_count, word_count = struct.unpack_from("<BBii", data)
    tables, group_rows = (flags & 15) + 1, 1 << (flags >> 4 & 3)
    require(flags >> 6 == 0 and 1 <= size <= 31 and 0 <= escape_count <= count and 0 <= word_count <= count, "rans: wrong header")
    sections = [(tables * (size + 1))] + ([escape_count] if escape_count else [])
    at = 10 + size
    headers = [struct.unpack_from("<Bi", data, at + 5 * i) for i in range(len(sections))]
    alphabet = np.frombuffer(data, np.uint8, size, 10)
    require(bool((np.diff(alphabet.astype(int)) > 0).all()), "rans: the alphabet does not ascend")
    at += 5 * len(sections)
    parts = []
    for (mode, length), content in zip(headers, sections):
        require(0 < length <= len(data) - at, "rans: a section leaves the block")
        parts.append(np.frombuffer(rans_section(mode, data[at:at + length], content), np.uint8))
        at += length
    frequencies = parts[0].reshape(tables, size + 1).astype(np.int64)
    require(bool((frequencies.sum(1) == 256).all()), "rans: a table does not add up")
    escaped = parts[1] if escape_count else np.zeros(0, np.uint8)

    rows = -(-count // 128)
    groups = -(-rows // group_rows)
    label_bits = (tables - 1).bit_length()
    label_bytes = -(-groups * label_bits // 8)
    require(at + label_bytes + 64 <= len(data), "rans: ends inside labels or states")
    labels = packed_fields(data[at:at + label_bytes], groups, label_bits).astype(int)
    require(bool((labels < tables).all()), "rans: a label without a table")
    at += label_bytes
    nibbles = np.frombuffer(data, np.uint8, 64, at)
    bits = np.stack([nibbles & 15, nibbles >> 4], 1).ravel().astype(np.int64) + 15
    starts = np.concatenate([[0], np.cumsum(bits)])
    state_bytes = 64 + -(-int(starts[-1]) // 8)
    require(len(data) - at == state_bytes + 2 * word_count, "rans: wrong number of words")
    low = bit_fields(data[at + 64:at + state_bytes], starts[:-1], bits)
    padding = int(starts[-1]) & 7
    require(padding == 0 or data[at + state_bytes - 1] >> padding == 0, "rans: padding is set")
    states = (np.uint64(1) << bits.astype(np.uint64) | low).astype(np.int64)
    words = np.frombuffer(data, "<u2", word_count, at + state_bytes).astype(np.int64)

    state = np.arange(128)
    position = 64 * (state // 64) + 4 * (state % 16) + state // 16 % 4
    entry_of = [np.repeat(np.arange(size + 1), f) for f in frequencies]
    first = np.cumsum(frequencies, 1) - frequencies
    out = np.zeros(rows * 128, np.int64)
    word = 0
    for row in range(rows):
        k = labels[row // group_rows]
        active = state[position < count - 128 * row]
        x = states[active]
        slot = x & 255
        entry = entry_of[k][slot]
        x = frequencies[k][entry] * (x >> 8) + slot - first[k][entry]
        small = np.flatnonzero(x < RANS_LOW)
        require(word + len(small) <= word_count, "rans: words do not suffice")
        x[small] = x[small] << 16 | words[word:word + len(small)]
        word += len(small)
        states[active] = x
        out[128 * row + position[active]] = entry
    out = out[:count]
    escapes = out == size
    require(word == word_count and np.count_nonzero(escapes) == escape_count, "rans: words or escapes left over")
    symbols = np.concatenate([alphabet, [0]]).astype(np.uint8)[out]
    symbols[escapes] = escaped
    return symbols, states


def rans_plane(mode, data, count, bits, carried):
    """The parts of `count` elements in a plane of bytes (bits = 8) or packed."""
    if mode == 3:
        mode, data = 0, bytes(data) + carried
    if mode == 4:
        require(bits == 8 and len(data) >= 5 and 1 <= data[0] <= 8, "rans: wrong plane of zero bits")
        zeros, exceptions = struct.unpack_from("<Bi", data)
        packed = -(-count * (8 - zeros) // 8)
        require(0 <= exceptions <= count and len(data) == 5 + packed + 5 * exceptions, "rans: wrong length of a plane")
        values = packed_fields(data[5:5 + packed], count, 8 - zeros) << np.uint64(zeros) if zeros < 8 else np.zeros(count, np.uint64)
        listed = np.frombuffer(data, np.dtype([("position", "<i4"), ("bits", "u1")]), exceptions, 5 + packed)
        where = listed["position"].astype(np.int64)
        require(bool((np.diff(where) > 0).all() and (where >= 0).all() and (where < count).all() and (listed["bits"] > 0).all()
                     and (listed["bits"] < 1 << zeros).all()), "rans: wrong exceptions")
        values[where] |= listed["bits"].astype(np.uint64)
        return values
    if mode == 2:
        require(len(data) == 1 and data[0] >> bits == 0, "rans: wrong constant")
        return np.full(count, data[0], np.uint64)
    if mode == 1:
        values = np.frombuffer(huffman_block(data, count), np.uint8)
        require(bool((values >> bits == 0).all()) if bits < 8 else True, "rans: a value of a packed plane is too large")
        return values.astype(np.uint64)
    require(mode == 0 and len(data) == -(-count * bits // 8), "rans: unknown mode or wrong length of a plane")
    return np.frombuffer(data, np.uint8).astype(np.uint64) if bits == 8 else packed_fields(data, count, bits)


def rans_decode(data, raw_length, widths):
    require(len(data) >= 14, "rans: too short")
    width, moved, rest, center, first, outliers, block = struct.unpack_from("<BBBBHii", data)
    zig_zag = moved == 0x80
    bits = 8 * width if width else 4
    upper = bits - rest
    require(width in widths and (zig_zag or moved < bits) and (not zig_zag or width == 1) and (zig_zag or center == 0) and 1 <= upper <= 16
            and (upper > 8 or (first == 0 and outliers == 0)) and first < 1 << upper and outliers >= 0 and block > 0, "rans: wrong header")
    require(width or (moved, rest) == (0, 0), "rans: wrong header")
    count = raw_length // width if width else 2 * raw_length
    tail = raw_length % width if width else 0
    planes = ([rest % 8] if rest % 8 else []) + [8] * (rest // 8)
    at = 14 + 5 * len(planes)
    require(count > 0 and len(data) - tail - at >= block + 6 * outliers, "rans: too short")
    headers = [struct.unpack_from("<Bi", data, 14 + 5 * i) for i in range(len(planes))]
    symbols, states = rans_block(data[at:at + block], count)
    at += block
    carries = bool(headers) and headers[-1][0] == 3
    require(bool((states >> 15 == 1).all() if carries else (states == RANS_LOW).all()), "rans: wrong states at the end")
    carried = sum((int(x) - RANS_LOW) << 15 * i for i, x in enumerate(states)).to_bytes(RANS_TAIL, "little")
    values = symbols.astype(np.uint64) + np.uint64(first) & np.uint64((1 << upper) - 1)
    listed = np.frombuffer(data, np.dtype([("position", "<i4"), ("upper", "<u2")]), outliers, at)
    at += 6 * outliers
    where = listed["position"].astype(np.int64)
    require(bool((np.diff(where) > 0).all() and (where >= 0).all() and (where < count).all() and (listed["upper"] < 1 << upper).all()), "rans: wrong outliers")
    values[where] = listed["upper"]
    for i, ((mode, length), part) in enumerate(zip(headers, planes)):
        require(0 < length <= len(data) - tail - at and (mode != 3 or i == len(planes) - 1), "rans: a plane leaves the chunk")
        values = values << np.uint64(part) | rans_plane(mode, data[at:at + length], count, part, carried)
        at += length
    require(at + tail == len(data), "rans: bytes left over")
    if width == 0:
        return (values[0::2] | values[1::2] << np.uint64(4)).astype(np.uint8).tobytes()
    if zig_zag:
        signed = (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)
        return (signed + center).astype(np.uint8).tobytes()
    sign = 1 << (bits - 1)
    low = (sign >> moved) - 1
    exponent = sign - 1 - low
    values = (values >> np.uint64(1) & np.uint64(exponent)) | (values << np.uint64(moved) & np.uint64(sign)) | (values & np.uint64(low))
    return values.astype(f"<u{width}").tobytes() + bytes(data[at:])


def planes_rans_decode(data, raw_length):
    return rans_decode(data, raw_length, (2, 4, 8))


def codes_rans_decode(data, raw_length):
    return rans_decode(data, raw_length, (0, 1))


def sparse_decode(data, raw_length):
    require(len(data) >= 11 and data[0] in (1, 2, 4, 8) and data[1] < (1 if data[0] == 1 else 8 * data[0]) and data[2] in (1, 2), "sparse: wrong header")
    width, moved, gap_bytes = data[0], data[1], data[2]
    words, count = struct.unpack_from("<II", data, 3)
    elements, tail = raw_length // width, raw_length % width
    full = 256 ** gap_bytes - 1
    require(elements > 0 and count <= elements and count < words <= count + 1 + (elements - count) // full, "sparse: wrong counts")
    planes = [(words, p) for p in range(gap_bytes - 1, -1, -1)] + [(count, p) for p in range(width - 1, -1, -1) if count]
    at = 11 + 5 * len(planes)
    require(len(data) >= at + tail, "sparse: too short")
    unsigned = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
    gaps, values = np.zeros(words, np.int64), np.zeros(count, unsigned)
    for i, (length, plane) in enumerate(planes):
        mode, stored_length = struct.unpack_from("<Bi", data, 11 + 5 * i)
        require(0 < stored_length <= len(data) - tail - at, "sparse: a plane leaves the chunk")
        stored = data[at:at + stored_length]
        at += stored_length
        require(mode != 0 or stored_length == length, "sparse: wrong plane length")
        raw = np.frombuffer(stored if mode == 0 else huffman_plane(mode, stored, length), np.uint8)
        if i < gap_bytes:
            gaps |= raw.astype(np.int64) << (8 * plane)
        else:
            values |= raw.astype(unsigned) << unsigned(8 * plane)
    ends = gaps != full
    require(at + tail == len(data) and ends[-1] and ends.sum() == count + 1 and gaps.sum() == elements - count, "sparse: gaps do not add up")
    if moved:
        sign = 1 << (8 * width - 1)
        low = (sign >> moved) - 1
        exponent = sign - 1 - low
        values = (values >> unsigned(1) & unsigned(exponent)) | (values << unsigned(moved) & unsigned(sign)) | (values & unsigned(low))
    out = np.zeros(elements, unsigned)
    out[np.cumsum(gaps)[ends][:-1] + np.arange(count)] = values
    return out.astype(out.dtype.newbyteorder("<")).tobytes() + bytes(data[at:])


def bits_decode(data, raw_length):
    require(len(data) >= 10 and data[0] in (0, 1) and data[1] in (1, 2), "bits: wrong header")
    flipped, gap_bytes = data[0], data[1]
    words, count = struct.unpack_from("<II", data, 2)
    bits, full, at = 8 * raw_length, 256 ** gap_bytes - 1, 10 + 5 * gap_bytes
    require(bits > 0 and count <= bits and count < words <= count + 1 + (bits - count) // full and len(data) >= at, "bits: wrong counts")
    gaps = np.zeros(words, np.int64)
    for i in range(gap_bytes):
        mode, stored_length = struct.unpack_from("<Bi", data, 10 + 5 * i)
        require(0 < stored_length <= len(data) - at, "bits: a plane leaves the chunk")
        stored = data[at:at + stored_length]
        at += stored_length
        require(mode != 0 or stored_length == words, "bits: wrong plane length")
        plane = np.frombuffer(stored if mode == 0 else huffman_plane(mode, stored, words), np.uint8)
        gaps |= plane.astype(np.int64) << (8 * (gap_bytes - 1 - i))
    ends = gaps != full
    require(at == len(data) and ends[-1] and ends.sum() == count + 1 and gaps.sum() == bits - count, "bits: gaps do not add up")
    out = np.full(bits, flipped, np.uint8)
    out[np.cumsum(gaps)[ends][:-1] + np.arange(count)] = 1 - flipped
    return np.packbits(out, bitorder="little").tobytes()


def ranks_decode(data, raw_length):
    require(len(data) >= 2 and data[0] in (16, 32, 64) and 0 < data[1] < data[0], "ranks: wrong header")
    size, kept = data[0], data[1]
    (count, tail), ways = divmod(raw_length, size // 8), math.comb(size, kept)
    per_word, bits, product = 1, (ways - 1).bit_length(), ways
    for groups in range(2, 129):
        product *= ways
        if product >= 1 << 128:
            break
        digits = (product - 1).bit_length()
        if digits * per_word < bits * groups:
            per_word, bits = groups, digits
    words = -(-count // per_word)
    length = -(-words * bits // 8)
    require(count > 0 and len(data) == 2 + length + tail, "ranks: wrong length")
    require(words * bits % 8 == 0 or data[1 + length] >> words * bits % 8 == 0, "ranks: bits left over")
    out = bytearray()
    for w in range(words):
        at, shift = divmod(w * bits, 8)
        word = int.from_bytes(data[2 + at:min(2 + at + 17, 2 + length)], "little") >> shift & (1 << bits) - 1
        for _ in range(min(per_word, count - w * per_word)):
            word, rank = divmod(word, ways)
            group, place = 0, size - 1
            for i in range(kept, 0, -1):
                while math.comb(place, i) > rank:
                    place -= 1
                rank -= math.comb(place, i)
                group |= 1 << place
            out += group.to_bytes(size // 8, "little")
        require(word == 0, "ranks: a number that no group has")
    return bytes(out) + bytes(data[len(data) - tail:])


def records_decode(data, raw_length):
    require(len(data) >= 1 and 1 <= data[0] <= 16 and len(data) >= 1 + 4 * data[0], "records: wrong header")
    fields = [struct.unpack_from("<HBB", data, 1 + 4 * i) for i in range(data[0])]
    require(all(w in (1, 2, 4, 8) and l and l % w == 0 and t < (1 if w == 1 else 8 * w) for l, w, t in fields), "records: wrong field")
    size = sum(l for l, _, _ in fields)
    require(size <= 4096 and raw_length >= size, "records: wrong record length")
    count, tail = raw_length // size, raw_length % size
    headers = 1 + 4 * len(fields)
    at = headers + 5 * sum(w for _, w, _ in fields)
    require(len(data) >= at + tail, "records: too short")
    out, offset = np.zeros((count, size), np.uint8), 0
    for length, width, moved in fields:
        unsigned = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[width]
        elements = count * length // width
        values = np.zeros(elements, unsigned)
        for plane in range(width - 1, -1, -1):
            mode, stored_length = struct.unpack_from("<Bi", data, headers)
            headers += 5
            require(0 < stored_length <= len(data) - tail - at, "records: a plane leaves the chunk")
            stored = data[at:at + stored_length]
            at += stored_length
            require(mode != 0 or stored_length == elements, "records: wrong plane length")
            raw = np.frombuffer(stored if mode == 0 else huffman_plane(mode, stored, elements), np.uint8)
            values |= raw.astype(unsigned) << unsigned(8 * plane)
        if moved:
            sign = 1 << (8 * width - 1)
            low = (sign >> moved) - 1
            exponent = sign - 1 - low
            values = (values >> unsigned(1) & unsigned(exponent)) | (values << unsigned(moved) & unsigned(sign)) | (values & unsigned(low))
        out[:, offset:offset + length] = values.astype(values.dtype.newbyteorder("<")).view(np.uint8).reshape(count, length)
        offset += length
    require(at + tail == len(data), "records: bytes left over")
    return out.tobytes() + bytes(data[at:])


def stored_decode(data, raw_length):
    require(len(data) == raw_length, "stored: wrong length")
    return bytes(data)


CODECS = {0: ("stored", stored_decode), 1: ("constant", constant_decode), 2: ("planes-zstd", planes_decode), 3: ("zstd", zstd_decode), 4: ("lz4", lz4_decode),
          5: ("planes-rans", planes_rans_decode), 6: ("planes-huffman", planes_huffman_decode), 7: ("codes-rans", codes_rans_decode), 8: ("palette", palette_decode),
          10: ("sparse", sparse_decode), 11: ("huffman", huffman_decode), 12: ("records", records_decode), 13: ("bits", bits_decode), 14: ("ranks", ranks_decode)}

# ---- number formats (formats/numbers/*/SPEC.md) -------------------------------------------------------------------

NUMPY = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "i1",
         "u64": "<u8", "u32": "<u4", "u16": "<u2", "u8": "u1", "bool": "?", "c64": "<c8", "c128": "<c16"}
SUB_BYTE = {"i4": (4, True), "u4": (4, False), "i2": (2, True), "u2": (2, False)}


def bf16_to_f32(data):
    return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def unpack_codes(data, bits):
    """Codes of `bits` bits, lowest bits first, from an array of bytes [..., n]: [..., n * 8 // bits]."""
    each = np.unpackbits(data, axis=-1, bitorder="little")
    count = each.shape[-1] // bits
    each = each[..., :count * bits].reshape(*data.shape[:-1], count, bits)
    return (each * (1 << np.arange(bits, dtype=np.uint16))).sum(-1, dtype=np.uint16)


def decode_raw(dtype, shape, data):
    if dtype == "bf16":
        return bf16_to_f32(data).reshape(shape)
    if dtype in NUMPY:
        return np.frombuffer(data, NUMPY[dtype]).reshape(shape)
    if dtype in SUB_BYTE:
        bits, signed = SUB_BYTE[dtype]
        codes = unpack_codes(np.frombuffer(data, np.uint8), bits).astype(np.int8)[:int(np.prod(shape, dtype=np.int64))]
        if signed:
            codes = (codes ^ (1 << (bits - 1))) - (1 << (bits - 1))
        return codes.reshape(shape)
    raise ArtifactError(f"this reader does not decode elements of type {dtype}")


def decode_int(bits, arguments, shape, streams):
    columns = shape[-1] if shape else 1
    rows = int(np.prod(shape[:-1], dtype=np.int64)) if shape else 1
    block = arguments.get("block", "32")
    block = max(columns, 1) if block == "row" else int(block)
    blocks = -(-columns // block)
    if rows == 0 or columns == 0:
        return np.zeros(shape, np.float32)
    blob = -(-block * bits // 8)
    codes = unpack_codes(np.frombuffer(streams["codes"], np.uint8).reshape(rows, blocks, blob), bits)[..., :block].astype(np.float32)
    scale = arguments.get("scale", "f32")
    scales = decode_raw(scale, (rows, blocks, 1), streams["scales"]).astype(np.float32)
    if arguments.get("symmetric", "true") == "true":
        zero = np.float32(1 << (bits - 1))
    else:
        packed = np.frombuffer(streams["zero-points"], np.uint8).reshape(rows, -1)
        zero = unpack_codes(packed, bits)[:, :blocks, None].astype(np.float32)
    values = (codes - zero) * scales
    return values.reshape(rows, blocks * block)[:, :columns].reshape(shape)


def parse_unit(text):
    match = re.fullmatch(r"([a-z0-9_.-]+)(?:\((.*)\))?", text)
    require(match is not None, f"'{text}' is not a unit")
    return match[1], dict(part.split("=", 1) for part in (match[2] or "").split(",") if part)


# ---- the artifact (formats/pack/SPEC.md) --------------------------------------------------------------------------

class Artifact:
    """An opened artifact: `tensors`, `blobs`, `metadata`; `dense(name)`, `blob(name)`."""

    def __init__(self, path, base=None):
        self.data = np.memmap(path, np.uint8, "r") if self._size(path) else np.zeros(0, np.uint8)
        size = len(self.data)
        require(size >= 136 and bytes(self.data[size - 128:size - 120]) == b"MPACKEND", "not a ModelPack artifact, or its end is missing")
        root = bytes(self.data[size - 128:])
        check_hash(root[:120], struct.unpack_from("<Q", root, 120)[0], "root record")
        (version,) = struct.unpack_from("<i", root, 8)
        require(version == 1, f"format version {version} is not 1")
        (length, header, header_hash, manifest_at, manifest_stored, manifest_raw, manifest_hash,
         index_at, index_length, index_hash) = struct.unpack_from("<qqQqqqQqqQ", root, 16)
        require(length == size, f"has {size} bytes but was written with {length}")
        require(8 <= header <= manifest_at and 0 <= manifest_stored <= index_at - manifest_at
                and 0 <= index_length <= size - 128 - index_at and index_length % 40 == 0, "root record names ranges outside the file")
        head = bytes(self.data[:header])
        check_hash(head, header_hash, "header")
        require(struct.unpack_from("<Q", head)[0] == header - 8, "header: wrong length")
        self.entries = json.loads(head[8:])
        stored = bytes(self.data[manifest_at:manifest_at + manifest_stored])
        check_hash(stored, manifest_hash, "manifest")
        manifest = json.loads(stored if manifest_stored == manifest_raw else lz4_decode(stored, manifest_raw))
        index = bytes(self.data[index_at:index_at + index_length])
        check_hash(index, index_hash, "chunk index")
        records = list(struct.iter_unpack("<qiiB7xQQ", index))

        self.metadata = manifest["metadata"]
        self.streams = manifest["streams"]
        self.tensors = {t["name"]: t for t in manifest["tensors"]}
        self.blobs = {b["name"]: b["stream"] for b in manifest["blobs"]}
        first = 0
        for stream in self.streams:
            count = -(-stream["bytes"] // stream["chunk"]) if stream["bytes"] else 0
            stream["records"] = records[first:first + count]
            require(len(stream["records"]) == count, "the chunk index is too short")
            first += count
            at = header + self.entries[stream["name"]]["data_offsets"][0]
            for i, (offset, stored_length, raw_length, _, _, _) in enumerate(stream["records"]):
                want = min(stream["chunk"], stream["bytes"] - i * stream["chunk"])
                require(offset == at and raw_length == want and 0 < stored_length <= raw_length and at + stored_length <= size,
                        f"chunk {i} of '{stream['name']}' is not where it must be")
                at += stored_length
        require(first == len(records), "the chunk index is too long")
        self.names = [t["name"] for t in manifest["tensors"]]
        self.bases = {}
        if base is not None:
            self._open_base(base)

    def _open_base(self, path):
        """Where the base of each tensor lies; the base files are checked before they are used."""
        require("base" in self.blobs, "holds no differences: there is no base")
        record = json.loads(self.blob("base"))
        require(record["version"] == 1, "the record of its base has another version")
        files = []
        for i, entry in enumerate(record["files"]):
            name = path if i == 0 else os.path.join(os.path.dirname(path), entry["path"])
            require(".." not in entry["path"].split("/") and not os.path.isabs(entry["path"]), "a base file leaves the base's folder")
            digest = hashlib.sha256()
            with open(name, "rb") as file:
                for piece in iter(lambda: file.read(1 << 20), b""):
                    digest.update(piece)
            require(digest.hexdigest() == entry["sha256"], f"{name} is not the base")
            files.append(np.memmap(name, np.uint8, "r"))
        for number, file, offset in record["tensors"]:
            self.bases[self.names[number]] = files[file][offset:]

    @staticmethod
    def _size(path):
        with open(path, "rb") as file:
            return file.seek(0, 2)

    def stream(self, number):
        """The decoded bytes of a stream."""
        stream = self.streams[number]
        parts = []
        for i, (offset, stored_length, raw_length, codec, stored_hash, raw_hash) in enumerate(stream["records"]):
            what = f"chunk {i} of '{stream['name']}'"
            stored = bytes(self.data[offset:offset + stored_length])
            check_hash(stored, stored_hash, what)
            require(codec in CODECS, f"{what} uses codec {codec}, which this reader does not have")
            raw = CODECS[codec][1](stored, raw_length)
            check_hash(raw, raw_hash, what)
            parts.append(raw)
        return b"".join(parts)

    def blob(self, name):
        return self.stream(self.blobs[name])

    def dense(self, name):
        """The values of a tensor, dequantised; bf16 comes as float32."""
        node = self.tensors[name]["encoding"]
        return self._delta(name, node) if node.get("structure") == "delta" else self._node(node)

    def _delta(self, name, node):
        require(name in self.bases, "is stored as differences: give the base (--base)")
        component = node["components"][0]
        unsigned = {"u4": np.uint8, "u2": np.uint8, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64}[component["format"]]
        s = np.frombuffer(self.stream(component["streams"]["values"]), unsigned)
        base = np.frombuffer(bytes(self.bases[name][:s.nbytes]), unsigned)
        require(len(base) == len(s), "the base of a tensor leaves its file")
        restored = base + ((s >> unsigned(1)) ^ (unsigned(0) - (s & unsigned(1))))
        return decode_raw(self.tensors[name]["dtype"], tuple(node["shape"]), restored.tobytes())

    def _sparse(self, kind, arguments, shape, components):
        require(len(shape) == 2 and len(components) == 2 and components[0].get("format") == "u8", f"{kind}: no matrix, or no mask")
        (rows, columns), (height, width) = shape, (1, 1)
        group = int(arguments["m" if kind == "nm" else "bank"]) if kind in ("nm", "bankbalanced") else 1
        if kind == "blocksparse":
            height, width = (int(edge) for edge in arguments["block"].split("x"))
        grid_rows, grid_columns = -(-rows // height), -(-columns // (group * width)) * group
        mask = np.unpackbits(self._node(components[0]), axis=1, bitorder="little")
        require(mask.shape == (grid_rows, -(-grid_columns // 8) * 8) and not mask[:, grid_columns:].any(), f"{kind}: wrong mask")
        mask, values = mask[:, :grid_columns].astype(bool), self._node(components[1])
        if group > 1:
            kept = int(arguments["n" if kind == "nm" else "kept"])
            require((mask.reshape(grid_rows, -1, group).sum(axis=2) == kept).all(), f"{kind}: a group with another number of values")
        stored = int(mask.sum()) * height * width
        require(values.size == (-(-stored // 256) * 256 if kind == "bitmap" else stored), f"{kind}: mask and values do not fit")
        grid = np.zeros((grid_rows, grid_columns, height, width), values.dtype)
        grid[mask] = values.reshape(-1)[:stored].reshape(-1, height, width)
        return grid.transpose(0, 2, 1, 3).reshape(grid_rows * height, grid_columns * width)[:rows, :columns]

    def _factored(self, kind, arguments, shape, components):
        """Products and sums of components, in float32 and in the order of the specifications."""
        parts = [self._node(c).astype(np.float32) for c in components]
        if kind == "sum":
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total
        if kind == "lowrank":
            return ordered_product(parts[0], parts[1])
        if kind == "pivotrank":
            mask = np.unpackbits(parts[0].astype(np.uint8).reshape(-1), bitorder="little")
            require(not mask[shape[0]:].any() and mask.sum() == int(arguments["rank"]), "pivotrank: wrong mask")
            stored = mask[:shape[0]].astype(bool)
            left = np.zeros((shape[0], int(arguments["rank"])), np.float32)
            left[stored] = np.eye(int(arguments["rank"]), dtype=np.float32)
            left[~stored] = parts[2]
            return ordered_product(left, parts[1])
        if kind == "mpo":
            rows, columns = ([int(n) for n in arguments[side].split("x")] for side in ("rows", "columns"))
            ranks = [1] + [int(n) for n in arguments["ranks"].split("x")] + [1]
            state = np.ones((1, 1, 1), np.float32)  # [rows so far, columns so far, rank]
            for site, part in enumerate(parts):
                core = part.reshape(rows[site], ranks[site + 1], ranks[site], columns[site])
                n, k, rank = state.shape
                grown = ordered_product(state.reshape(n * k, rank), core.transpose(2, 0, 3, 1).reshape(rank, -1))
                grown = grown.reshape(n, k, rows[site], columns[site], ranks[site + 1]).transpose(0, 2, 1, 3, 4)
                state = grown.reshape(n * rows[site], k * columns[site], ranks[site + 1])
            return np.ascontiguousarray(state[:shape[0], :shape[1], 0])
        inputs = parts[2].shape[1]
        kernel = shape[1] // inputs
        if kind == "cp":
            filters = parts[0][:, :, None] * parts[1][None, :, :]
        else:
            filters = ordered_product(parts[0], parts[1]).reshape(shape[0], -1, kernel)
        values = np.zeros((shape[0], inputs, kernel), np.float32)
        for p in range(filters.shape[1]):
            values += filters[:, p, None, :] * parts[2][p][None, :, None]
        return values.reshape(shape[0], inputs * kernel)

    def _node(self, node):
        shape = tuple(node["shape"])
        if "structure" in node:
            kind, arguments = parse_unit(node["structure"])
            if kind in ("blocksparse", "nm", "bankbalanced", "bitmap"):
                return self._sparse(kind, arguments, shape, node["components"])
            if kind == "reshaped":
                return self._node(node["components"][0]).reshape(shape)
            if kind in ("lowrank", "pivotrank", "mpo", "tucker2", "cp", "sum"):
                values = self._factored(kind, arguments, shape, node["components"])
                require(values.shape == shape, f"{kind}: wrong shape")
                return values
            require(kind == "permuted", f"this reader does not know the structure '{kind}'")
            component = self._node(node["components"][0])
            perm = [int(a) for a in arguments["perm"].split("x")] if arguments else []
            values = component.transpose(perm) if perm else component
            require(values.shape == shape, "permuted: wrong shape")
            return values
        kind, arguments = parse_unit(node["format"])
        streams = {role: self.stream(number) for role, number in node["streams"].items()}
        match = re.fullmatch(r"int([2-8])", kind)
        return decode_int(int(match[1]), arguments, shape, streams) if match else decode_raw(kind, shape, streams["values"])


def ordered_product(left, right):
    """left @ right with sums in ascending order, every product and sum rounded to float32."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for j in range(left.shape[1]):
        total += left[:, j, None] * right[j]
    return total


def describe(node):
    if "format" in node:
        return node["format"]
    return f"{node['structure']} > " + "; ".join(describe(c) for c in node["components"])


def main(arguments):
    base = None
    if "--base" in arguments[:-1]:
        at = arguments.index("--base")
        base = arguments[at + 1]
        arguments = arguments[:at] + arguments[at + 2:]
    if len(arguments) < 2 or arguments[0] not in ("list", "read", "blob", "verify"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        artifact = Artifact(arguments[1], base)
        if arguments[0] == "list":
            for name, tensor in artifact.tensors.items():
                print(f"{name}\t{tensor['dtype']}\t{tensor['encoding']['shape']}\t{describe(tensor['encoding'])}")
            for name in artifact.blobs:
                print(f"[{name}]\t{artifact.streams[artifact.blobs[name]]['bytes']} bytes")
        elif arguments[0] == "read":
            np.save(arguments[3], np.ascontiguousarray(artifact.dense(arguments[2])))
        elif arguments[0] == "blob":
            with open(arguments[3], "wb") as file:
                file.write(artifact.blob(arguments[2]))
        else:
            for number in range(len(artifact.streams)):
                artifact.stream(number)
            print("sound" if xxhash is not None else "decodes; checksums not checked: install 'xxhash'")
    except (ArtifactError, KeyError, IndexError, OSError, ValueError) as e:
        print(f"{arguments[1]}: error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
