using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>f16 scales as f32, exactly, whatever their bits: by the instruction where code can be made at run time (.NET has no intrinsic for it), else by moving bits.</summary>
internal static unsafe class HalfScales
{
    /// <summary>2^112: exponent and mantissa of an f16 moved to their places in an f32 are the value divided by it, subnormals too.</summary>
    private const float Unit = 5192296858534827628530496329220096f;

    /// <summary>Functions void f(<see cref="EmittedCall"/>*) from <see cref="EmittedCall.Weights"/> to <see cref="EmittedCall.Y"/>, 16 values <see cref="EmittedCall.Blocks"/> times; 0 where there is none.</summary>
    private static readonly nint s_function512 = Make(Avx512F.IsSupported, 512);

    private static readonly nint s_function256 = Make(Avx2.IsSupported && CpuFeatures.HasF16C, 256);

    /// <summary>Writes the function.</summary>
    /// <param name="bits">Width of the vectors, 256 or 512.</param>
    /// <param name="windows">Calling convention.</param>
    public static byte[] Write(int bits, bool windows)
    {
        const int vectorBytes256 = 32;
        var code = new X64Assembler();
        var call = new EmittedCallCode(code, windows);
        call.Load(Gpr.Rax, EmittedField.Blocks);
        call.Load(Gpr.R8, EmittedField.Weights);
        call.Load(Gpr.R9, EmittedField.Y);
        int loop = code.Position;
        if (bits == 512)
        {
            code.WidenHalves(0, new Mem(Gpr.R8, 0));
            code.Store(new Mem(Gpr.R9, 0), 0);
        }
        else
        {
            code.WidenEightHalves(0, new Mem(Gpr.R8, 0));
            code.WidenEightHalves(1, new Mem(Gpr.R8, vectorBytes256 / 2));
            code.StoreEight(new Mem(Gpr.R9, 0), 0);
            code.StoreEight(new Mem(Gpr.R9, vectorBytes256), 1);
        }

        code.Add(Gpr.R8, TileLayout.TileRows * sizeof(ushort));
        code.Add(Gpr.R9, TileLayout.TileRows * sizeof(float));
        code.Loop(Gpr.Rax, loop);
        code.Return();
        return code.Code.ToArray();
    }

    /// <summary>Widens scales of blocks.</summary>
    /// <param name="scales">[blocks, 16].</param>
    /// <param name="blocks">At least one.</param>
    /// <param name="widened">[blocks, 16] destination.</param>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static void Widen<TSimd>(ushort* scales, int blocks, float* widened)
        where TSimd : struct, ISimd<TSimd>
    {
        nint function = TSimd.Count == Simd512.Count ? s_function512 : TSimd.Count == Simd256.Count ? s_function256 : 0;
        if (function == 0)
        {
            Move(scales, blocks * TileLayout.TileRows, widened);
            return;
        }

        EmittedCall call;
        call.Weights = (byte*)scales;
        call.Y = widened;
        call.Blocks = blocks;
        ((delegate* unmanaged[SuppressGCTransition]<EmittedCall*, void>)function)(&call);
    }

    /// <summary>Eight at a time; infinity and NaN, which no encoder writes, one by one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Move(ushort* scales, int count, float* widened)
    {
        const ushort exponent = 0x7C00;
        for (int i = 0; i < count; i += Vector128<ushort>.Count)
        {
            Vector128<ushort> halves = Vector128.Load(scales + i);
            Scaled(Vector128.WidenLower(halves)).Store(widened + i);
            Scaled(Vector128.WidenUpper(halves)).Store(widened + i + Vector128<float>.Count);
            if (Vector128.EqualsAny(halves & Vector128.Create(exponent), Vector128.Create(exponent)))
            {
                for (int j = i; j < i + Vector128<ushort>.Count; j++)
                {
                    widened[j] = (float)BitConverter.UInt16BitsToHalf(scales[j]);
                }
            }
        }
    }

    /// <summary>Sign, exponent and mantissa in their places, times 2^112.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Scaled(Vector128<uint> halves) =>
        (((halves << 16).AsInt32() >> 3) & Vector128.Create(unchecked((int)0x8FFFE000))).AsSingle() * Vector128.Create(Unit);

    private static nint Make(bool isThere, int bits) => isThere && EmittedFunctions.Works ? ExecutableMemory.Place(Write(bits, OperatingSystem.IsWindows())) : 0;
}
