using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>A block-sparse weight of random values at random places in its execution layout.</summary>
internal sealed unsafe class BenchedSparseWeight : IDisposable
{
    /// <summary>Blocks that are encoded at a time.</summary>
    private const int BlocksAtOnce = 256;

    private byte* _tiles;

    private BenchedSparseWeight(string format, SparseWeight weight, byte* tiles)
    {
        Format = format;
        Weight = weight;
        _tiles = tiles;
    }

    /// <summary>The format of the values as it was asked for.</summary>
    public string Format { get; }

    public SparseWeight Weight { get; }

    /// <summary>Its execution layout.</summary>
    public byte* Tiles => _tiles;

    /// <summary>Encodes and packs.</summary>
    /// <param name="block">Rows x columns of a block.</param>
    /// <param name="format">Number format of the values.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <param name="sparsity">Percent of the blocks that are not there.</param>
    /// <param name="seed">Which blocks.</param>
    /// <exception cref="ModelPackException">MP1021, MP1022: the format or the block does not exist, or no kernel reads it.</exception>
    public static BenchedSparseWeight Make(string block, string format, int rows, int columns, int sparsity, ulong seed = 5)
    {
        var structure = new UnitSpec("blocksparse", ("block", block));
        UnitSpec spec = NumberFormats.Bind(UnitSpec.Parse(format), new Shape(1, columns)).Spec;
        byte[] mask = Mask(structure, rows, columns, sparsity, seed, out int edge);
        SparseWeight weight = SparseWeight.TryCreate(structure, spec, rows, columns, mask)
            ?? throw new ModelPackException(ErrorCodes.BadUnitArgument, $"no kernel multiplies with blocks of {block} in '{format}'");
        float[] values = GaussianError.Sample(BlocksAtOnce * edge, 0.02f);
        IBoundNumberFormat bound = NumberFormats.Bind(spec, new Shape(BlocksAtOnce, edge));
        Memory<byte>[] some = [.. bound.Streams.Select(s => (Memory<byte>)new byte[bound.Shape.Rows * s.BytesPerRow])];
        bound.EncodeRows(values, (int)bound.Shape.Rows, some);
        var streams = new List<byte[]>();
        foreach (string role in weight.Roles)
        {
            int at = bound.Streams.ToList().FindIndex(s => s.Role == role);
            byte[] all = GC.AllocateUninitializedArray<byte>(checked((int)(weight.StoredBlocks * bound.Streams[at].BytesPerRow)), pinned: true);
            for (int first = 0; first < all.Length; first += some[at].Length)
            {
                some[at].Span[..Math.Min(some[at].Length, all.Length - first)].CopyTo(all.AsSpan(first));
            }

            streams.Add(all);
        }

        byte* tiles = (byte*)NativeMemory.AlignedAlloc((nuint)weight.Bytes, 64);
        weight.Pack([.. streams.Select(s => (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(s)))], 0, weight.Stripes, (nint)tiles);
        GC.KeepAlive(streams);
        HugePages.Use((nint)tiles, weight.Bytes);
        return new BenchedSparseWeight(format, weight, tiles);
    }

    /// <summary>As an operator is given it.</summary>
    public byte[] Packed()
    {
        byte[] bytes = new byte[checked((int)PackedSparseMatrix.Bytes(Weight))];
        int header = (int)PackedSparseMatrix.TilesOffset(Weight);
        PackedSparseMatrix.WriteHeader(Weight, bytes.AsSpan(0, header));
        new ReadOnlySpan<byte>(_tiles, (int)Weight.Bytes).CopyTo(bytes.AsSpan(header));
        return bytes;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_tiles);
        _tiles = null;
        Weight.Dispose();
    }

    /// <summary>Exactly so many blocks, at random places of the whole matrix.</summary>
    private static byte[] Mask(UnitSpec structure, int rows, int columns, int sparsity, ulong seed, out int blockValues)
    {
        string[] edges = structure.Text("block", "").Split('x');
        if (edges.Length != 2 || !int.TryParse(edges[0], NumberStyles.None, CultureInfo.InvariantCulture, out int height) || !int.TryParse(edges[1], NumberStyles.None, CultureInfo.InvariantCulture, out int width)
            || height is < 1 or > 256 || width is < 1 or > 256)
        {
            throw new ModelPackException(ErrorCodes.BadUnitArgument, $"block '{structure.Text("block", "")}' is not ROWSxCOLUMNS of up to 256");
        }

        blockValues = height * width;
        int gridRows = ((rows - 1) / height) + 1;
        int gridColumns = ((columns - 1) / width) + 1;
        int rowBytes = (gridColumns + 7) / 8;
        int[] order = [.. Enumerable.Range(0, checked(gridRows * gridColumns))];
        var random = new SplitMix64(seed);
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = (int)(random.Next() % (ulong)(i + 1));
            (order[i], order[j]) = (order[j], order[i]);
        }

        byte[] mask = new byte[gridRows * rowBytes];
        foreach (int block in order.AsSpan(0, (int)Math.Round(order.Length * (100 - sparsity) / 100.0)))
        {
            mask[(block / gridColumns * rowBytes) + (block % gridColumns / 8)] |= (byte)(1 << (block % gridColumns % 8));
        }

        return mask;
    }
}
