using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Globalization;

namespace ModelPack.Containers.Gguf;

/// <summary>The number formats that read the tensors of one file.</summary>
internal sealed class GgufFormats(MappedFile file, GgufHeader header)
{
    private readonly BitNetKernelConfig _kernels = new(file.Path);
    private readonly FrozenDictionary<string, GgufTensor> _byName = header.Tensors.ToFrozenDictionary(t => t.Name, StringComparer.Ordinal);

    /// <summary>The number format that reads a tensor of blocks or a matrix, and its streams, which lie one after the other in the tensor's bytes; null when there is none.</summary>
    /// <exception cref="ModelPackException">MP1418, from <see cref="BitNetKernelConfig"/>.</exception>
    public (UnitSpec Format, ImmutableArray<(string Role, long Bytes)> Streams)? Find(GgufTensor t)
    {
        if (t.Type.Format is string format)
        {
            return (new UnitSpec(format), [("blocks", t.LengthBytes)]);
        }

        if (!t.Type.IsMatrix || Scale(t) is not string scale)
        {
            return null;
        }

        if (t.Type.Name == "i2_s")
        {
            // Rows of whole blocks of 128 alone are laid out as the number format has them.
            return t.Shape.Columns % 128 == 0 ? (new UnitSpec("bitnet-i2_s", ("scale", scale)), [("codes", t.LengthBytes)]) : null;
        }

        bool triples = t.Type == GgufType.Tl2;
        return _kernels.Find(t.Name, t.Shape, triples) is BitNetTiles tiles
            ? (new UnitSpec("bitnet-" + t.Type.Name, ("scale", scale), ("tiles", tiles.ToString())), [.. tiles.Streams(t.Shape, triples)])
            : null;
    }

    /// <summary>What a tensor is called that <see cref="Find"/> has no format for: it can be listed and packed, not decoded. Matrices whose tiles are missing say so when they are read.</summary>
    public UnitSpec Listed(GgufTensor t) => t.Type.Name is "tl1" or "tl2" && t.Shape.Rank == 2 && Scale(t) is string scale
        ? new UnitSpec("bitnet-" + t.Type.Name, ("scale", scale), ("tiles", "unknown"))
        : new UnitSpec("gguf-" + t.Type.Name);

    /// <summary>The scale of a matrix: a tensor of its own, as the converter of bitnet.cpp writes it, or the number behind the matrix, which is where its kernels look.</summary>
    private string? Scale(GgufTensor t)
    {
        bool listed = _byName.TryGetValue(t.Name + "_scale", out GgufTensor? of) && of.Type.DType == DType.F32 && of.LengthBytes == sizeof(float);
        Span<byte> bytes = stackalloc byte[sizeof(float)];
        file.Read(listed ? of!.OffsetBytes : t.OffsetBytes + t.LengthBytes, bytes);
        float scale = BinaryPrimitives.ReadSingleLittleEndian(bytes);
        return float.IsFinite(scale) && scale >= 0 ? scale.ToString("R", CultureInfo.InvariantCulture) : null;
    }
}
