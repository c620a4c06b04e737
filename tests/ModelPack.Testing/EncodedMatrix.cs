using System.Runtime.InteropServices;
using ModelPack.Numbers;

namespace ModelPack.Testing;

/// <summary>A matrix in a number format, all streams in memory, and what it decodes to.</summary>
public sealed class EncodedMatrix : IDisposable
{
    private readonly nint[] _streams;

    private EncodedMatrix(UnitSpec spec, Shape shape, float[] decoded, nint[] streams, string[] roles)
    {
        Spec = spec;
        Shape = shape;
        Decoded = decoded;
        _streams = streams;
        Roles = roles;
    }

    /// <summary>The format with all arguments.</summary>
    public UnitSpec Spec { get; }

    /// <summary>Rows and columns.</summary>
    public Shape Shape { get; }

    /// <summary>The values that the codes stand for.</summary>
    public float[] Decoded { get; }

    /// <summary>Roles of the streams.</summary>
    public IReadOnlyList<string> Roles { get; }

    /// <summary>Encodes values.</summary>
    public static EncodedMatrix Encode(string spec, int rows, int columns, float[] values)
    {
        var shape = new Shape(rows, columns);
        UnitSpec full = NumberFormats.Complete(UnitSpec.Parse(spec), new RawValueReader(DType.F32, shape, TensorData.FromBytes(MemoryMarshal.AsBytes<float>(values).ToArray())));
        IBoundNumberFormat bound = NumberFormats.Bind(full, shape);
        int coded = (int)bound.Shape.Rows;
        Memory<byte>[] streams = [.. bound.Streams.Select(s => (Memory<byte>)new byte[coded * s.BytesPerRow])];
        bound.EncodeRows(values, coded, streams);
        float[] decoded = new float[values.Length];
        bound.DecodeRows([.. streams.Select(s => (ReadOnlyMemory<byte>)s)], coded, decoded);
        return new EncodedMatrix(bound.Spec, shape, decoded, [.. streams.Select(Copy)], [.. bound.Streams.Select(s => s.Role)]);
    }

    /// <summary>Addresses of the streams of the given roles; they end where an unmapped page begins only by chance.</summary>
    public nint[] Streams(IReadOnlyList<string> roles) => [.. roles.Select(r => _streams[Roles.ToList().IndexOf(r)])];

    public unsafe void Dispose()
    {
        foreach (nint stream in _streams)
        {
            NativeMemory.AlignedFree((void*)stream);
        }
    }

    private static unsafe nint Copy(Memory<byte> stream)
    {
        void* copy = NativeMemory.AlignedAlloc((nuint)Math.Max(1, stream.Length), 64);
        stream.Span.CopyTo(new Span<byte>(copy, stream.Length));
        return (nint)copy;
    }
}
