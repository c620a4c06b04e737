using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;
using ModelPack.Kernels.MatMul;
using Xunit;

namespace ModelPack.Tests.Kernels;

/// <summary>Variants of kernels made at run time that this machine would not choose: they must compute what the chosen one does.</summary>
public sealed unsafe class EmittedCodeTests
{
    private const int Blocks = 3;

    [SkippableTheory]
    [InlineData(4, 8, true, TileScale.E8M0, false, 4)]
    [InlineData(4, 4, true, TileScale.BF16, false, 4)]
    [InlineData(4, 32, false, TileScale.F32, true, 4)]
    [InlineData(2, 64, true, TileScale.F32, false, 4)]
    [InlineData(4, 8, false, TileScale.F16, false, 4)]
    [InlineData(2, 1024, false, TileScale.None, false, 4)]
    [InlineData(3, 8, false, TileScale.F32, false, 1)]
    [InlineData(5, 16, false, TileScale.F32, true, 1)]
    [InlineData(6, 8, false, TileScale.F32, false, 2)]
    [InlineData(7, 40, false, TileScale.F32, false, 1)]
    [InlineData(8, 20, false, TileScale.F32, true, 4)]
    internal void One_row_is_the_same_without_byte_permutations_by_the_convention_of_Windows_and_with_several_tiles(int bits, int groups, bool hasTable, TileScale scale, bool hasZeros, int mostTiles)
    {
        Skip.IfNot(CpuFeatures.HasVnni512 && Avx512Vbmi.IsSupported && EmittedFunctions.Works && !OperatingSystem.IsWindows(), "needs AVX512_VNNI, AVX512_VBMI and the convention of System V");
        int tileBytes = Blocks * ((groups * bits * 8) + (TileLayout.TileRows * (sizeof(float) + 1)));
        var shape = new IntegerRowShape(bits, groups, hasTable, scale, hasZeros, 4, tileBytes);
        Assert.Equal(mostTiles, IntegerRowRegisters.MostTiles(shape));
        float[] expected = Run(IntegerRowCode.Write(shape with { Tiles = 1 }, windows: false, hasPermute: true), shape, 4);
        Assert.All(expected, v => Assert.True(float.IsFinite(v) && v != 0));
        for (int tiles = 1; tiles <= mostTiles; tiles *= 2)
        {
            IntegerRowShape together = shape with { Tiles = tiles };
            Assert.Equal(expected, Run(IntegerRowCode.Write(together, windows: false, hasPermute: true), together, 4 / tiles));
            Assert.Equal(expected, Run(IntegerRowCode.Write(together, windows: false, hasPermute: false), together, 4 / tiles));
            Assert.Equal(expected, Run(FromWindows(IntegerRowCode.Write(together, windows: true, hasPermute: true)), together, 4 / tiles));
        }
    }

    [SkippableTheory]
    [InlineData(7, 2, 8, true)]
    [InlineData(1, 1, 64, false)]
    public void Several_rows_are_the_same_by_the_convention_of_Windows(int rows, int tiles, int groups, bool hasZeros)
    {
        Skip.IfNot(CpuFeatures.HasVnni512 && EmittedFunctions.Works && !OperatingSystem.IsWindows(), "needs AVX512_VNNI and the convention of System V");
        Assert.Equal(
            RunRows(IntegerRowsCode.Write(rows, tiles, groups, hasZeros, windows: false), rows, tiles, groups, hasZeros),
            RunRows(FromWindows(IntegerRowsCode.Write(rows, tiles, groups, hasZeros, windows: true)), rows, tiles, groups, hasZeros));
    }

    [SkippableTheory]
    [InlineData(ValueKind.Table16, 2, 8, 1)]
    [InlineData(ValueKind.Table16, 4, 2, 4)]
    [InlineData(ValueKind.Table16, 4, 12, 2)]
    [InlineData(ValueKind.Linear, 8, 3, 4)]
    [InlineData(ValueKind.Half, 16, 1, 4)]
    [InlineData(ValueKind.Half, 16, 12, 2)]
    [InlineData(ValueKind.Posit1, 16, 5, 1)]
    [InlineData(ValueKind.Posit2, 16, 2, 4)]
    internal void One_row_in_f32_is_the_same_by_the_convention_of_Windows(ValueKind kind, int bits, int units, int tiles)
    {
        Skip.IfNot(Avx512DQ.IsSupported && EmittedFunctions.Works && !OperatingSystem.IsWindows(), "needs AVX-512 and the convention of System V");
        const int unitColumns = 16;
        int codes = Blocks * units * unitColumns * TileLayout.TileRows * bits / 8;
        var shape = new FloatRowShape(kind, bits, units, TileScale.F32, tiles, codes);
        byte[] x = Bytes(5, Blocks * units * unitColumns * sizeof(float));
        byte[] scales = new byte[(Blocks * TileLayout.TileRows * sizeof(float)) + (tiles * codes)];
        MemoryMarshal.Cast<byte, float>(x.AsSpan()).Fill(0.25f);
        MemoryMarshal.Cast<byte, float>(scales.AsSpan()).Fill(1.5f);
        byte[] weights = Bytes(2, tiles * codes);
        for (int i = 1; i < weights.Length && kind == ValueKind.Half; i += sizeof(ushort))
        {
            weights[i] &= 0xBF; // Not infinite.
        }

        float[] expected = Call(EmittedFloatPath.Write(shape, windows: false), x, weights, scales, [], tiles * TileLayout.TileRows);
        Assert.All(expected, y => Assert.True(float.IsFinite(y)));
        Assert.Equal(expected, Call(FromWindows(EmittedFloatPath.Write(shape, windows: true)), x, weights, scales, [], tiles * TileLayout.TileRows));
    }

    [SkippableFact]
    public void Code_is_made_once_for_a_key()
    {
        Skip.IfNot(EmittedFunctions.Works, "needs x64 and a system that lets processes make code");
        int written = 0;
        var functions = new EmittedFunctions<int>(_ =>
        {
            written++;
            var code = new X64Assembler();
            code.Return();
            return code.Code.ToArray();
        });
        nint first = functions.Get(1);
        Assert.Equal(first, functions.Get(1));
        Assert.NotEqual(first, functions.Get(2));
        Assert.Equal(2, written);
        ((delegate* unmanaged<void>)first)();
    }

    /// <summary>A function of Windows for callers of System V: the argument is moved first.</summary>
    private static byte[] FromWindows(byte[] function)
    {
        var code = new X64Assembler();
        code.Move(Gpr.Rcx, Gpr.Rdi);
        return [.. code.Code, .. function];
    }

    /// <summary>Calls the function for some tiles after others; of each its scales, zero points and codes.</summary>
    private static float[] Run(byte[] code, IntegerRowShape shape, int calls)
    {
        byte[] x = Bytes(1, Blocks * (PackedActivations.HeaderBytes(1) + (shape.Groups * sizeof(int))));
        for (int b = 0; b < Blocks; b++)
        {
            Span<byte> header = x.AsSpan(b * (PackedActivations.HeaderBytes(1) + (shape.Groups * sizeof(int))));
            MemoryMarshal.Write(header, 0.25f * (b + 1));
            MemoryMarshal.Write(header[sizeof(float)..], (b * 17) - 5);
        }

        const int tiles = 4;
        int bytes = (int)shape.TileBytes;
        int zeros = Blocks * TileLayout.TileRows * sizeof(float);
        byte[] weights = Bytes(2, tiles * bytes);
        for (int tile = 0; tile < tiles; tile++)
        {
            Span<byte> scales = weights.AsSpan(tile * bytes, zeros);
            switch (shape.Scale)
            {
                case TileScale.E8M0:
                    scales.Fill((byte)(126 + tile));
                    break;
                case TileScale.BF16:
                    MemoryMarshal.Cast<byte, ushort>(scales).Fill((ushort)(0x3FC0 + tile));
                    break;
                case TileScale.F16:
                    MemoryMarshal.Cast<byte, ushort>(scales).Fill((ushort)(0x3E00 + tile));
                    break;
                default:
                    MemoryMarshal.Cast<byte, float>(scales).Fill(1.5f + tile);
                    break;
            }
        }

        float[] y = new float[tiles * TileLayout.TileRows];
        int perCall = tiles / calls;
        for (int call = 0; call < calls; call++)
        {
            byte[] from = weights[(call * perCall * bytes)..];
            Call(code, x, from[(zeros + (Blocks * TileLayout.TileRows))..], from, from[zeros..], perCall * TileLayout.TileRows).CopyTo(y, call * perCall * TileLayout.TileRows);
        }

        return y;
    }

    private static float[] RunRows(byte[] code, int rows, int tiles, int groups, bool hasZeros)
    {
        byte[] x = Bytes(1, Blocks * (PackedActivations.HeaderBytes(rows) + (groups * rows * sizeof(int))));
        byte[] panel = Bytes(2, Blocks * (TilePanel.HeaderBytes(tiles, hasZeros) + (groups * tiles * 64)));
        for (int b = 0; b < Blocks; b++)
        {
            MemoryMarshal.Cast<byte, float>(x.AsSpan(b * x.Length / Blocks, rows * sizeof(float))).Fill(0.5f);
            MemoryMarshal.Cast<byte, float>(panel.AsSpan(b * panel.Length / Blocks, tiles * 64)).Fill(2f);
        }

        return Call(code, x, panel, [], [], rows * tiles * TileLayout.TileRows);
    }

    private static float[] Call(byte[] code, byte[] x, byte[] weights, byte[] scales, byte[] zeros, int outputs)
    {
        byte[] table = [.. Enumerable.Range(0, 128).Select(i => (byte)(1 + (3 * (i & 3))))]; // Periodic for 2 bits too.
        float[] y = new float[outputs];
        nint function = ExecutableMemory.Place(code);
        Assert.NotEqual(0, function);
        fixed (byte* px = x, pw = weights, ps = scales, pz = zeros, pt = table)
        fixed (float* py = y)
        {
            EmittedCall call;
            call.X = px;
            call.Weights = pw;
            call.Y = py;
            call.Blocks = Blocks;
            call.Scales = ps;
            call.Zeros = pz;
            call.Table = pt;
            ((delegate* unmanaged<EmittedCall*, void>)function)(&call);
        }

        return y;
    }

    private static byte[] Bytes(int seed, int count)
    {
        byte[] bytes = new byte[count];
        uint state = (uint)seed;
        for (int i = 0; i < count; i++)
        {
            state = (state * 1664525) + 1013904223;
            bytes[i] = (byte)(state >> 24);
        }

        return bytes;
    }
}
