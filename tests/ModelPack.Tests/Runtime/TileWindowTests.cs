using System.Runtime.InteropServices;
using ModelPack.Kernels.MatMul;
using ModelPack.Pack;
using ModelPack.Runtime.Loading;
using ModelPack.Runtime.Native;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime;

/// <summary>Large weights of plain numbers are brought into execution layout window by window: the same bytes, in a fraction of the memory.</summary>
public sealed class TileWindowTests
{
    [Theory]
    [InlineData(1000, 250, 777, 20_000, 1)]
    [InlineData(1000, 250, 4096, 20_000, 3)]
    [InlineData(999, 31, 100_000, 1, 1)]
    [InlineData(2048, 64, 8192, 9000, 2)]
    public unsafe void Run_inWindows_givesTheSameBytes(int rows, int columns, int partBytes, long windowBytes, int threads)
    {
        byte[] values = MemoryMarshal.AsBytes<ushort>([.. Values.Weights(4, rows * columns).Select(v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16))]).ToArray();
        var parts = new Parts(rows, columns, values, partBytes);
        using MatMulWeight weight = MatMulWeight.TryCreate(parts.Matrix!)!;
        using var whole = new WeightBuffer(PackedMatrix.Bytes(weight));
        using var windowed = new WeightBuffer(whole.LengthBytes);
        new Span<byte>((void*)whole.Address, (int)whole.LengthBytes).Clear();
        new Span<byte>((void*)windowed.Address, (int)windowed.LengthBytes).Clear();

        TileJob.Run(parts, false, whole, 1, windowBytes: long.MaxValue / 2);
        Assert.Equal((1, 0), (parts.WholeReads, parts.PartsRead.Count));
        TileJob.Run(parts, false, windowed, threads, windowBytes);

        Assert.True(new Span<byte>((void*)whole.Address, (int)whole.LengthBytes).SequenceEqual(new Span<byte>((void*)windowed.Address, (int)windowed.LengthBytes)));
        Assert.Equal(1, parts.WholeReads);
        Assert.Equal(Enumerable.Range(0, (values.Length + partBytes - 1) / partBytes).Select(p => (long)p), parts.PartsRead);
        Assert.InRange(parts.MostBytes, 1, Math.Max(windowBytes, 256L * columns * 2) + (2 * partBytes));
        ScratchBuffers.Clear();
    }

    [Fact]
    public unsafe void ReadChunks_givesPartsOfTheStream()
    {
        using var folder = new TempFolder();
        OnnxBuilder model = new OnnxBuilder().Input("x", OnnxBuilder.Float, 1, 700).Output("y", OnnxBuilder.Float, 1, 900).Initializer("w", Values.Weights(3, 700 * 900), 700, 900).Node("MatMul", ["x", "w"], ["y"]);
        ModelCompiler.Compile(new CompileRequest { Input = folder.Write("m.onnx", model.Build()), Output = folder["m.mpack"], Recipe = "lossless" });
        using PackReader reader = PackReader.Open(folder["m.mpack"]);
        PackStream stream = reader.Find("w")!.Streams[0].Stream;
        byte[] all = new byte[stream.LengthBytes];
        reader.ReadStream(stream, all);
        Assert.True(stream.ChunkCount >= 3);

        byte[] last = new byte[stream.LengthBytes - stream.ChunkBytes];
        fixed (byte* to = last)
        {
            reader.ReadChunks(stream, 1, stream.ChunkCount - 1, (nint)to, threads: 2);
        }

        Assert.Equal(all[stream.ChunkBytes..], last);
    }

    /// <summary>A matrix in BF16 that is decoded in parts.</summary>
    private sealed class Parts(int rows, int columns, byte[] values, int partBytes) : IStoredWeight
    {
        public List<long> PartsRead { get; } = [];

        public int WholeReads { get; private set; }

        public long MostBytes { get; private set; }

        public DType DType => DType.BF16;

        public Shape Shape { get; } = new(rows, columns);

        public DenseEncoding? Matrix { get; } = new(new UnitSpec("bf16"), new Shape(rows, columns), []);

        public StructuredEncoding? Sparse => null;

        public void ReadDense(DType target, nint destination, long lengthBytes, int threads) => throw new NotSupportedException();

        public (DType DType, long LengthBytes)? Stream(string role) => (DType.BF16, values.Length);

        public void ReadStream(string role, nint destination, long lengthBytes, int threads)
        {
            WholeReads++;
            Marshal.Copy(values, 0, destination, values.Length);
        }

        public long PartBytes(string role) => partBytes;

        public void ReadParts(string role, long first, long count, nint destination, int threads)
        {
            PartsRead.AddRange(Enumerable.Range(0, (int)count).Select(i => first + i));
            int begin = (int)(first * partBytes);
            int length = (int)Math.Min(count * partBytes, values.Length - begin);
            MostBytes = Math.Max(MostBytes, length);
            Marshal.Copy(values, begin, destination, length);
        }
    }
}
