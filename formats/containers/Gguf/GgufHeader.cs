using System.Collections.Immutable;
using System.Numerics;

namespace ModelPack.Containers.Gguf;

/// <summary>The validated header of a GGUF file, versions 2 and 3, little-endian.</summary>
/// <param name="Version">2 or 3.</param>
/// <param name="Alignment">Tensors begin at multiples of it.</param>
/// <param name="Metadata">Keys and values as text, in file order.</param>
/// <param name="Tensors">Tensors by offset; they do not overlap and lie inside the file.</param>
/// <remarks>Source: ggml, <c>docs/gguf.md</c>.</remarks>
internal sealed record GgufHeader(int Version, long Alignment, ImmutableArray<KeyValuePair<string, string>> Metadata, ImmutableArray<GgufTensor> Tensors)
{
    public static ReadOnlySpan<byte> Magic => "GGUF"u8;

    private const string AlignmentKey = "general.alignment";
    private const int DefaultAlignment = 32;
    private const int MaxDimensions = 4;

    /// <summary>The fewest bytes that a pair of key and value, and a tensor's description, take.</summary>
    private const int MinPairBytes = 14;
    private const int MinTensorBytes = 25;

    /// <exception cref="ModelPackException">MP1400 to MP1417.</exception>
    public static GgufHeader Read(MappedFile file, CancellationToken cancellation = default)
    {
        var cursor = new GgufCursor(file);
        if (file.LengthBytes < 4 || cursor.U32() != BitConverter.ToUInt32(Magic))
        {
            throw new ModelPackException(ErrorCodes.GgufMagic, "does not begin with GGUF", file.Path, offsetBytes: 0);
        }

        uint version = cursor.U32();
        if (version != 0 && (version & 0xffff) == 0)
        {
            throw new ModelPackException(ErrorCodes.GgufBigEndian, "is a big-endian GGUF file; only little-endian ones are read", file.Path, offsetBytes: 4);
        }

        if (version is not (2 or 3))
        {
            throw new ModelPackException(ErrorCodes.GgufVersion, $"has GGUF version {version}; versions 2 and 3 are read", file.Path, offsetBytes: 4);
        }

        long tensorCount = Count(cursor, MinTensorBytes, "tensors", file);
        long pairCount = Count(cursor, MinPairBytes, "metadata entries", file);
        long alignment = DefaultAlignment;
        ImmutableArray<KeyValuePair<string, string>> metadata = ReadMetadata(cursor, pairCount, file, ref alignment, cancellation);
        var infos = new List<(string Name, GgufType Type, Shape Shape, ulong Offset, long At)>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (long i = 0; i < tensorCount; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            infos.Add(ReadInfo(cursor, file, names));
        }

        long dataStart = (cursor.Position + alignment - 1) / alignment * alignment;
        TellTl2(infos, file.LengthBytes - dataStart);
        GgufTensor[] tensors = [.. infos.Select(t => Place(t.Name, t.Type, t.Shape, t.Offset, t.At, dataStart, alignment, file))];
        Array.Sort(tensors, static (a, b) => a.OffsetBytes != b.OffsetBytes ? a.OffsetBytes.CompareTo(b.OffsetBytes) : a.LengthBytes.CompareTo(b.LengthBytes));
        for (int i = 1; i < tensors.Length; i++)
        {
            GgufTensor before = tensors[i - 1];
            if (tensors[i].OffsetBytes < before.OffsetBytes + before.LengthBytes)
            {
                throw new ModelPackException(ErrorCodes.GgufOverlap, $"begins inside '{before.Name}'", file.Path, tensors[i].Name, tensors[i].OffsetBytes);
            }
        }

        return new GgufHeader((int)version, alignment, metadata, [.. tensors]);
    }

    private static long Count(GgufCursor cursor, int bytesEach, string what, MappedFile file)
    {
        long at = cursor.Position;
        ulong count = cursor.U64();
        return count <= (ulong)(cursor.Remaining / bytesEach)
            ? (long)count
            : throw new ModelPackException(ErrorCodes.GgufCount, $"announces {count} {what}, more than fit in the file", file.Path, offsetBytes: at);
    }

    private static ImmutableArray<KeyValuePair<string, string>> ReadMetadata(GgufCursor cursor, long count, MappedFile file, ref long alignment, CancellationToken cancellation)
    {
        var metadata = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>();
        var keys = new HashSet<string>(StringComparer.Ordinal);
        for (long i = 0; i < count; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            long at = cursor.Position;
            string key = cursor.Name(ErrorCodes.GgufKey, "a metadata key");
            if (!keys.Add(key))
            {
                throw new ModelPackException(ErrorCodes.GgufDuplicateKey, $"metadata key '{key}' is there twice", file.Path, offsetBytes: at);
            }

            at = cursor.Position;
            uint type = cursor.U32();
            string value = GgufValue.Read(cursor, type, file.Path, cancellation);
            if (key == AlignmentKey && !(type == GgufValue.U32 && long.TryParse(value, out alignment) && alignment <= 1 << 30 && BitOperations.IsPow2(alignment)))
            {
                throw new ModelPackException(ErrorCodes.GgufAlignment, $"{AlignmentKey} is {value}, not a u32 power of two", file.Path, offsetBytes: at);
            }

            metadata.Add(KeyValuePair.Create(key, value));
        }

        return metadata.DrainToImmutable();
    }

    private static (string Name, GgufType Type, Shape Shape, ulong Offset, long At) ReadInfo(GgufCursor cursor, MappedFile file, HashSet<string> names)
    {
        long at = cursor.Position;
        string name = cursor.Name(ErrorCodes.GgufTensorName, "a tensor name");
        ModelPackException Fail(ErrorCode code, string detail) => new(code, detail, file.Path, name, at);
        if (!names.Add(name))
        {
            throw Fail(ErrorCodes.GgufDuplicateTensor, "there is another tensor of this name");
        }

        uint rank = cursor.U32();
        if (rank > MaxDimensions)
        {
            throw Fail(ErrorCodes.GgufDimensions, $"has {rank} dimensions; {MaxDimensions} are the most");
        }

        long[] dims = new long[rank];
        for (int d = dims.Length - 1; d >= 0; d--)
        {
            ulong dim = cursor.U64();
            dims[d] = dim <= long.MaxValue ? (long)dim : throw Fail(ErrorCodes.GgufDimensions, $"has a dimension of {dim}");
        }

        var shape = new Shape(dims);
        uint id = cursor.U32();
        GgufType type = GgufType.Find(id) ?? throw Fail(ErrorCodes.GgufTensorType, $"has the unknown type {id}");
        if (shape.Columns % type.BlockValues != 0)
        {
            throw Fail(ErrorCodes.GgufRow, $"has rows of {shape.Columns} values, not a multiple of the {type.BlockValues} of a {type.Name} block");
        }

        if (!shape.TryElementCount(out long elements) || type.Bytes(shape, elements) > long.MaxValue)
        {
            throw Fail(ErrorCodes.GgufDimensions, $"{type.Name}{shape} has more bytes than fit in 63 bits");
        }

        return (name, type, shape, cursor.U64(), at);
    }

    /// <summary>Type 39 is TL2 where the next tensor, or the end of the file, leaves room for that and not for MXFP4.</summary>
    private static void TellTl2(List<(string Name, GgufType Type, Shape Shape, ulong Offset, long At)> infos, long dataBytes)
    {
        if (!infos.Exists(t => t.Type.Id == GgufType.Tl2.Id))
        {
            return;
        }

        ulong[] offsets = [.. infos.Select(t => t.Offset).Append((ulong)Math.Max(0, dataBytes)).Order()];
        for (int i = 0; i < infos.Count; i++)
        {
            (string name, GgufType type, Shape shape, ulong offset, long at) = infos[i];
            if (type.Id == GgufType.Tl2.Id && shape.Rank == 2 && shape.Columns >= 256)
            {
                int next = Array.BinarySearch(offsets, offset);
                while (next >= 0 && next < offsets.Length && offsets[next] == offset)
                {
                    next++;
                }

                Int128 room = next >= 0 && next < offsets.Length ? (Int128)offsets[next] - offset : 0;
                if (type.Bytes(shape, shape.ElementCount) > room && GgufType.Tl2.Bytes(shape, shape.ElementCount) <= room)
                {
                    infos[i] = (name, GgufType.Tl2, shape, offset, at);
                }
            }
        }
    }

    private static GgufTensor Place(string name, GgufType type, Shape shape, ulong offset, long at, long dataStart, long alignment, MappedFile file)
    {
        var bytes = (long)type.Bytes(shape, shape.ElementCount);
        if (offset % (ulong)alignment != 0)
        {
            throw new ModelPackException(ErrorCodes.GgufOffset, $"begins at {offset} of the data, not a multiple of {alignment}", file.Path, name, at);
        }

        // A file without tensor bytes may end before its data would begin.
        Int128 end = (Int128)dataStart + offset + bytes + (type.IsMatrix ? GgufType.TrailerBytes : 0);
        return end <= file.LengthBytes || (bytes == 0 && end <= (Int128)file.LengthBytes + alignment)
            ? new GgufTensor(name, type, shape, dataStart + (long)offset, bytes)
            : throw new ModelPackException(ErrorCodes.GgufDataPastEnd, $"{type.Name}{shape} would end at {end} of a file of {file.LengthBytes} bytes", file.Path, name, at);
    }
}
