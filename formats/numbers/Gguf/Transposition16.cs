using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>Transposition of 16 x 16 f32 in 512-bit registers. Needs AVX-512.</summary>
internal static class Transposition16
{
    /// <summary>Value j of row i goes to value i of row j; destination rows follow each other.</summary>
    /// <param name="from">16 rows of 16 values.</param>
    /// <param name="stride">Values from one source row to the next.</param>
    /// <param name="to">256 values.</param>
    [SkipLocalsInit]
    public static void Run(ref float from, int stride, ref float to)
    {
        // Four rows at a time: of the 128-bit part p, columns[4g + c] has column 4p + c of rows 4g to 4g + 3.
        Span<Vector512<float>> columns = stackalloc Vector512<float>[16];
        for (int g = 0; g < 4; g++)
        {
            ref float rows = ref Unsafe.Add(ref from, 4 * g * stride);
            Vector512<float> a = Vector512.LoadUnsafe(ref rows), b = Vector512.LoadUnsafe(ref Unsafe.Add(ref rows, stride));
            Vector512<float> c = Vector512.LoadUnsafe(ref Unsafe.Add(ref rows, 2 * stride)), d = Vector512.LoadUnsafe(ref Unsafe.Add(ref rows, 3 * stride));
            Vector512<double> abLow = Avx512F.UnpackLow(a, b).AsDouble(), abHigh = Avx512F.UnpackHigh(a, b).AsDouble();
            Vector512<double> cdLow = Avx512F.UnpackLow(c, d).AsDouble(), cdHigh = Avx512F.UnpackHigh(c, d).AsDouble();
            columns[4 * g] = Avx512F.UnpackLow(abLow, cdLow).AsSingle();
            columns[(4 * g) + 1] = Avx512F.UnpackHigh(abLow, cdLow).AsSingle();
            columns[(4 * g) + 2] = Avx512F.UnpackLow(abHigh, cdHigh).AsSingle();
            columns[(4 * g) + 3] = Avx512F.UnpackHigh(abHigh, cdHigh).AsSingle();
        }

        for (int c = 0; c < 4; c++)
        {
            Vector512<float> low01 = Avx512F.Shuffle4x128(columns[c], columns[4 + c], 0x44), high01 = Avx512F.Shuffle4x128(columns[c], columns[4 + c], 0xEE);
            Vector512<float> low23 = Avx512F.Shuffle4x128(columns[8 + c], columns[12 + c], 0x44), high23 = Avx512F.Shuffle4x128(columns[8 + c], columns[12 + c], 0xEE);
            Avx512F.Shuffle4x128(low01, low23, 0x88).StoreUnsafe(ref to, (nuint)(16 * c));
            Avx512F.Shuffle4x128(low01, low23, 0xDD).StoreUnsafe(ref to, (nuint)(16 * (4 + c)));
            Avx512F.Shuffle4x128(high01, high23, 0x88).StoreUnsafe(ref to, (nuint)(16 * (8 + c)));
            Avx512F.Shuffle4x128(high01, high23, 0xDD).StoreUnsafe(ref to, (nuint)(16 * (12 + c)));
        }
    }
}
