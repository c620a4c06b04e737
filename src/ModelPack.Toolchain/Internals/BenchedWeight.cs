using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>A weight of random values in its execution layout, as large as a benchmark wants it: the first rows are encoded, the others are copies of them.</summary>
internal sealed unsafe class BenchedWeight : IDisposable
{
    private const int EncodedRows = 256;

    private byte* _tiles;

    private BenchedWeight(string name, MatMulWeight weight, byte* tiles)
    {
        Name = name;
        Weight = weight;
        _tiles = tiles;
    }

    /// <summary>The format as it was asked for.</summary>
    public string Name { get; }

    public MatMulWeight Weight { get; }

    /// <summary>Its execution layout.</summary>
    public byte* Tiles => _tiles;

    /// <summary>Throws where <see cref="Make"/> would, without the work.</summary>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format does not exist or has wrong arguments; MP1022: no kernel reads it.</exception>
    public static void Check(string format, int columns)
    {
        UnitSpec spec = NumberFormats.Bind(UnitSpec.Parse(format), new Shape(1, columns)).Spec;
        using MatMulWeight? weight = MatMulWeight.TryCreate(spec, 1, columns);
        if (weight is null)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"no kernel multiplies with weights in '{format}'");
        }
    }

    /// <summary>Encodes and packs.</summary>
    /// <param name="format">Format that <see cref="Check"/> accepts.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    public static BenchedWeight Make(string format, int rows, int columns)
    {
        int encoded = Math.Min(EncodedRows, rows);
        var shape = new Shape(encoded, columns);
        float[] values = GaussianError.Sample(encoded * columns, 0.02f);
        var reader = new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray()));
        IBoundNumberFormat bound = NumberFormats.Bind(NumberFormats.Complete(UnitSpec.Parse(format), reader), shape);
        Memory<byte>[] streams = [.. bound.Streams.Select(s => (Memory<byte>)GC.AllocateArray<byte>(checked((int)(bound.Shape.Rows * s.BytesPerRow)), pinned: true))];
        bound.EncodeRows(values, (int)bound.Shape.Rows, streams);
        string[] roles = [.. bound.Streams.Select(s => s.Role)];
        using MatMulWeight part = MatMulWeight.TryCreate(bound.Spec, encoded, columns)!;
        nint[] addresses = [.. part.Roles.Select(r => Address(streams[Array.IndexOf(roles, r)]))];
        MatMulWeight weight = MatMulWeight.TryCreate(bound.Spec, rows, columns)!;
        byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        for (int tile = 0; tile < weight.Layout.Tiles; tile += part.Layout.Tiles)
        {
            part.Pack(addresses, 0, Math.Min(part.Layout.Tiles, weight.Layout.Tiles - tile), (nint)(tiles + (tile * weight.Layout.TileBytes)));
        }

        GC.KeepAlive(streams);
        HugePages.Use((nint)tiles, weight.Bytes);
        return new BenchedWeight(format, weight, tiles);
    }

    /// <summary>As an operator is given it.</summary>
    public byte[] Packed()
    {
        byte[] bytes = new byte[checked((int)PackedMatrix.Bytes(Weight))];
        int header = PackedMatrix.HeaderBytes(Weight.Format);
        PackedMatrix.WriteHeader(Weight, bytes.AsSpan(0, header));
        new ReadOnlySpan<byte>(_tiles, (int)Weight.Bytes).CopyTo(bytes.AsSpan(header));
        return bytes;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_tiles);
        _tiles = null;
        Weight.Dispose();
    }

    private static nint Address(Memory<byte> pinned) => (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(pinned.Span));
}
