using System.Globalization;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Testing;

namespace ModelPack.Tests.Kernels;

/// <summary>A matrix of random blocks.</summary>
internal sealed unsafe class SparseCase : IDisposable
{
    private readonly EncodedMatrix _values;
    private readonly bool _owns;
    private readonly PoisonBuffer _tiles;

    private SparseCase(EncodedMatrix values, SparseWeight weight, float[] dense, bool owns = true)
    {
        (_values, Weight, Dense, _owns) = (values, weight, dense, owns);
        _tiles = PoisonBuffer.EndingAtGuard(Math.Max(64, (int)weight.Bytes));
        weight.Pack(values.Streams(weight.Roles), 0, weight.Stripes, (nint)_tiles.Pointer);
    }

    public SparseWeight Weight { get; }

    public float[] Dense { get; }

    public nint Tiles => (nint)_tiles.Pointer;

    public static UnitSpec Structure(string block) => new("blocksparse", ("block", block));

    public static SparseCase Make(string block, string format, int n, int k, int percent)
    {
        (int r, int c) = Edges(block);
        int rowBytes = ((((k - 1) / c) + 1) + 7) / 8;
        byte[] mask = new byte[(((n - 1) / r) + 1) * rowBytes];
        var random = new SplitMix((ulong)(n + k + percent));
        int count = 0;
        for (int br = 0; br <= (n - 1) / r; br++)
        {
            for (int bc = 0; bc <= (k - 1) / c; bc++)
            {
                if ((int)(random.Next() % 100) < percent)
                {
                    mask[(br * rowBytes) + (bc / 8)] |= (byte)(1 << (bc % 8));
                    count++;
                }
            }
        }

        return Of(block, format, n, k, mask, Values.Weights(9, Math.Max(1, count) * r * c));
    }

    public static SparseCase Of(string block, string format, int n, int k, byte[] mask, float[] values)
    {
        (int r, int c) = Edges(block);
        EncodedMatrix encoded = EncodedMatrix.Encode(format, values.Length / (r * c), r * c, values);
        float[] dense = new float[n * k];
        int rowBytes = ((((k - 1) / c) + 1) + 7) / 8;
        int at = 0;
        for (int br = 0; br <= (n - 1) / r; br++)
        {
            for (int bc = 0; bc <= (k - 1) / c; bc++)
            {
                if ((mask[(br * rowBytes) + (bc / 8)] >> (bc % 8) & 1) == 0)
                {
                    continue;
                }

                for (int i = 0; i < r * c; i++)
                {
                    (int row, int column) = ((br * r) + (i / c), (bc * c) + (i % c));
                    if (row < n && column < k)
                    {
                        dense[(row * k) + column] = encoded.Decoded[(at * r * c) + i];
                    }
                }

                at++;
            }
        }

        return new SparseCase(encoded, SparseWeight.TryCreate(Structure(block), encoded.Spec, n, k, mask)!, dense);
    }

    /// <summary>The same stored blocks as a weight of the transposed matrix.</summary>
    public SparseCase Turn(float[] dense)
    {
        string block = $"{Weight.BlockRows}x{Weight.BlockColumns}";
        return new SparseCase(_values, SparseWeight.TryCreate(Structure(block), _values.Spec, Weight.Columns, Weight.Rows, Weight.Mask, transposed: true)!, dense, owns: false);
    }

    public float[] Multiply(float[] x, int rows, KernelTier tier)
    {
        using PoisonBuffer input = PoisonBuffer.Copy<float>(x);
        using PoisonBuffer output = PoisonBuffer.EndingAtGuard(rows * Weight.Rows * sizeof(float));
        new SparseMatMulRun(Weight, tier).Run(_tiles.Pointer, (float*)input.Pointer, rows, (float*)output.Pointer);
        return new Span<float>(output.Pointer, rows * Weight.Rows).ToArray();
    }

    public byte[] Packed()
    {
        byte[] bytes = new byte[PackedSparseMatrix.Bytes(Weight)];
        PackedSparseMatrix.WriteHeader(Weight, bytes.AsSpan(0, (int)PackedSparseMatrix.TilesOffset(Weight)));
        new ReadOnlySpan<byte>(_tiles.Pointer, (int)Weight.Bytes).CopyTo(bytes.AsSpan((int)PackedSparseMatrix.TilesOffset(Weight)));
        return bytes;
    }

    public void Dispose()
    {
        ((IDisposable)_tiles).Dispose();
        if (_owns)
        {
            _values.Dispose();
        }

        Weight.Dispose();
    }

    private static (int Rows, int Columns) Edges(string block)
    {
        string[] edges = block.Split('x');
        return (int.Parse(edges[0], CultureInfo.InvariantCulture), int.Parse(edges[1], CultureInfo.InvariantCulture));
    }
}
