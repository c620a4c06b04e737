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
    [InlineData(4, 8, true, TileScale.E8M0, false)]
    [InlineData(4, 4, true, TileScale.BF16, false)]
    [InlineData(4, 32, false, TileScale.F32, true)]
    [InlineData(2, 64, true, TileScale.F32, false)]
    [InlineData(4, 8, false, TileScale.F16, false)]
    [InlineData(2, 1024, false, TileScale.None, false)]
    [InlineData(3, 8, false, TileScale.F32, false)]
    [InlineData(5, 16, false, TileScale.F32, true)]
    [InlineData(6, 8, false, TileScale.F32, false)]
    [InlineData(7, 40, false, TileScale.F32, false)]
    [InlineData(8, 20, false, TileScale.F32, true)]
    internal void One_row_is_the_same_without_byte_permutations_and_by_the_convention_of_Windows(int bits, int groups, bool hasTable, TileScale scale, bool hasZeros)
    {
        Skip.IfNot(CpuFeatures.HasVnni512 && Avx512Vbmi.IsSupported && EmittedFunctions.Works && !OperatingSystem.IsWindows(), "needs AVX512_VNNI, AVX512_VBMI and the convention of System V");
        var shape = new IntegerRowShape(bits, groups, hasTable, scale, hasZeros);
        float[] expected = Run(IntegerRowCode.Write(shape, windows: false, hasPermute: true), shape);
        Assert.All(expected, v => Assert.True(float.IsFinite(v) && v != 0));

        Assert.Equal(expected, Run(IntegerRowCode.Write(shape, windows: false, hasPermute: false), shape));
        Assert.Equal(expected, Run(FromWindows(IntegerRowCode.Write(shape, windows: true, hasPermute: true)), shape));
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

    private static float[] Run(byte[] code, IntegerRowShape shape)
    {
        byte[] x = Bytes(1, Blocks * (PackedActivations.HeaderBytes(1) + (shape.Groups * sizeof(int))));
        for (int b = 0; b < Blocks; b++)
        {
            Span<byte> header = x.AsSpan(b * (PackedActivations.HeaderBytes(1) + (shape.Groups * sizeof(int))));
            MemoryMarshal.Write(header, 0.25f * (b + 1));
            MemoryMarshal.Write(header[sizeof(float)..], (b * 17) - 5);
        }

        byte[] scales = Bytes(3, Blocks * TileLayout.TileRows * sizeof(float));
        if (shape.Scale == TileScale.E8M0)
        {
            scales.AsSpan().Fill(126);
        }
        else
        {
            MemoryMarshal.Cast<byte, float>(scales.AsSpan()).Fill(1.5f); // Read as 16 bits: 1.5 and 0 in turns.
            if (shape.Scale is TileScale.BF16 or TileScale.F16)
            {
                MemoryMarshal.Cast<byte, ushort>(scales.AsSpan()).Fill((ushort)(shape.Scale == TileScale.BF16 ? 0x3FC0 : 0x3E00));
            }
        }

        return Call(code, x, Bytes(2, Blocks * shape.Groups * shape.Bits * 8), scales, Bytes(4, Blocks * TileLayout.TileRows), TileLayout.TileRows);
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
        byte[] table = [.. Enumerable.Range(0, 64).Select(i => (byte)(1 + (3 * (i & 3))))]; // Periodic for 2 bits too.
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
