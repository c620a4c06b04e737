using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Kernels.MatMul;

/// <summary>Rounds rows of activations to 8 bits, block by block: code = RNE(x x 127 / largest magnitude of the block). The same bits with every instruction set.</summary>
internal static unsafe class RowRounding
{
    /// <summary>The largest magnitude of a code.</summary>
    public const int LargestCode = 127;

    /// <summary>Rounds a row. NaN and infinities make the whole block NaN or infinite, as they would make the products.</summary>
    /// <param name="x">[columns].</param>
    /// <param name="columns">Columns.</param>
    /// <param name="block">Columns of a block; the last may have fewer.</param>
    /// <param name="codes">[columns].</param>
    /// <param name="scales">[blocks] what a code of 1 stands for.</param>
    /// <param name="sums">[blocks] sums of the codes.</param>
    public static void Run(float* x, int columns, int block, sbyte* codes, float* scales, int* sums)
    {
        int blocks = (columns + block - 1) / block;
        int whole = Avx512F.IsSupported && block % Vector512<float>.Count == 0 ? columns / block : 0;
        if (whole > 0)
        {
            Blocks(x, whole, block, codes, scales, sums);
        }

        for (int b = whole; b < blocks; b++)
        {
            int first = b * block;
            scales[b] = Block(x + first, Math.Min(block, columns - first), codes + first, out sums[b]);
        }
    }

    /// <summary>Whole blocks, of whole vectors: first the largest of each, then all divisions, then the codes, so that no block waits for the one before.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Blocks(float* x, int blocks, int block, sbyte* codes, float* scales, int* sums)
    {
        Vector512<int> magnitude = Vector512.Create(0x7FFFFFFF);
        for (int b = 0; b < blocks; b++)
        {
            int* at = (int*)x + ((long)b * block);
            Vector512<int> largest = Vector512.Load(at) & magnitude;
            for (int i = Vector512<int>.Count; i < block; i += Vector512<int>.Count)
            {
                largest = Avx512F.Max(largest, Vector512.Load(at + i) & magnitude);
            }

            Vector256<int> half = Vector256.Max(largest.GetLower(), largest.GetUpper());
            Vector128<int> quarter = Vector128.Max(half.GetLower(), half.GetUpper());
            quarter = Vector128.Max(quarter, Sse2.Shuffle(quarter, 0b01_00_11_10));
            ((int*)scales)[b] = Vector128.Max(quarter, Sse2.Shuffle(quarter, 0b10_11_00_01)).ToScalar();
        }

        // Factors lie where the sums will be; NaN where the block is for the slow way.
        float* factors = (float*)sums;
        for (int b = 0; b < blocks; b++)
        {
            float largest = scales[b];
            float factor = LargestCode / largest;
            factors[b] = float.IsFinite(factor) && float.IsFinite(largest) ? factor : float.NaN;
            scales[b] = largest / LargestCode;
        }

        for (int b = 0; b < blocks; b++)
        {
            float* at = x + ((long)b * block);
            sbyte* to = codes + ((long)b * block);
            float factor = factors[b];
            if (float.IsNaN(factor))
            {
                scales[b] = Block(at, block, to, out sums[b]);
                continue;
            }

            Vector512<float> f = Vector512.Create(factor);
            Vector512<int> sum = Vector512<int>.Zero;
            for (int i = 0; i < block; i += Vector512<float>.Count)
            {
                Vector512<int> rounded = Avx512F.ConvertToVector512Int32(Vector512.Load(at + i) * f);
                sum += rounded;
                Avx512F.ConvertToVector128SByte(rounded).Store(to + i);
            }

            Vector256<int> half = sum.GetLower() + sum.GetUpper();
            Vector128<int> quarter = half.GetLower() + half.GetUpper();
            quarter += Sse2.Shuffle(quarter, 0b01_00_11_10);
            sums[b] = (quarter + Sse2.Shuffle(quarter, 0b10_11_00_01)).ToScalar();
        }
    }

    /// <summary>One block; returns its scale.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Block(float* x, int count, sbyte* codes, out int sum)
    {
        int bits = LargestBits(x, count);
        float largest = BitConverter.Int32BitsToSingle(bits);
        float factor = largest > 0 ? 127f / largest : 0;
        if (!float.IsFinite(factor))
        {
            // The block is too small to matter, or holds something that is no number.
            new Span<sbyte>(codes, count).Clear();
            sum = 0;
            return float.IsFinite(largest) ? 0 : float.NaN;
        }

        int i = 0;
        Vector256<int> sums = Vector256<int>.Zero;
        Vector256<float> f = Vector256.Create(factor);
        for (; i + 16 <= count; i += 16)
        {
            Vector256<int> a = Vector256.ConvertToInt32Native(Vector256.Round(Vector256.Load(x + i) * f));
            Vector256<int> b = Vector256.ConvertToInt32Native(Vector256.Round(Vector256.Load(x + i + 8) * f));
            sums += a + b;
            Vector256<short> words = Vector256.Narrow(a, b);
            Vector128.Narrow(words.GetLower(), words.GetUpper()).Store(codes + i);
        }

        sum = Vector256.Sum(sums);
        for (; i < count; i++)
        {
            int code = (int)MathF.Round(x[i] * factor);
            codes[i] = (sbyte)code;
            sum += code;
        }

        return largest / 127f;
    }

    /// <summary>Bits of the largest magnitude, in the order of integers: infinities and NaN are above all numbers.</summary>
    private static int LargestBits(float* x, int count)
    {
        const int magnitude = 0x7FFFFFFF;
        int i = 0;
        Vector256<int> largest = Vector256<int>.Zero;
        Vector256<int> mask = Vector256.Create(magnitude);
        for (; i + 8 <= count; i += 8)
        {
            largest = Vector256.Max(largest, Vector256.Load((int*)x + i) & mask);
        }

        Vector128<int> half = Vector128.Max(largest.GetLower(), largest.GetUpper());
        int result = Math.Max(Math.Max(half[0], half[1]), Math.Max(half[2], half[3]));
        for (; i < count; i++)
        {
            result = Math.Max(result, ((int*)x)[i] & magnitude);
        }

        return result;
    }
}
