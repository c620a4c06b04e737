using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Q4_K: 256 values in 8 sub-blocks of 32; f16 d and dmin, 6-bit scales and minima in 12 bytes, 128 bytes of nibbles.</summary>
internal readonly struct Q4KBlock : IGgufBlock
{
    public static int Values => 256;

    public static int Bytes => 144;

    /// <summary>Two groups of 16 sub-blocks of 32.</summary>
    public static int Together => 4;

    public static bool EncodeReference(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<float> scales = stackalloc float[8];
        Span<float> minima = stackalloc float[8];
        Span<byte> codes = stackalloc byte[256];
        Span<float> weights = stackalloc float[32];
        float maxScale = 0;
        float maxMinimum = 0;
        for (int j = 0; j < 8; j++)
        {
            ReadOnlySpan<float> x = values.Slice(32 * j, 32);
            float squares = 0;
            foreach (float value in x)
            {
                float square = value * value;
                squares += square;
            }

            float mean = MathF.Sqrt(squares / 32);
            for (int l = 0; l < 32; l++)
            {
                weights[l] = mean + Math.Abs(x[l]);
            }

            scales[j] = KQuantSearch.ScaleAndMinimum(x, 15, weights, codes.Slice(32 * j, 32), out minima[j]);
            if (!float.IsFinite(scales[j]) || !float.IsFinite(minima[j]))
            {
                return false; // x^2 overflowed.
            }

            maxScale = scales[j] > maxScale ? scales[j] : maxScale;
            maxMinimum = minima[j] > maxMinimum ? minima[j] : maxMinimum;
        }

        bool fits = WriteScales(scales, minima, maxScale, maxMinimum, block);
        for (int j = 0; j < 8; j++)
        {
            (int sc, int m) = ScaleAndMinimum(block, j);
            float d = GgufHalf.Read(block) * sc;
            if (d == 0)
            {
                continue;
            }

            float dm = GgufHalf.Read(block[2..]) * m;
            for (int l = 0; l < 32; l++)
            {
                codes[(32 * j) + l] = (byte)Math.Clamp(GgufHalf.Nearest((values[(32 * j) + l] + dm) / d), 0, 15);
            }
        }

        for (int g = 0; g < 4; g++)
        {
            for (int l = 0; l < 32; l++)
            {
                block[16 + (32 * g) + l] = (byte)(codes[(64 * g) + l] | (codes[(64 * g) + 32 + l] << 4));
            }
        }

        return fits;
    }

    [SkipLocalsInit]
    public static bool Encode<TLanes>(ReadOnlySpan<float> values, Span<byte> blocks)
        where TLanes : struct, ILanes16<TLanes>
    {
        Span<float> transposed = AlignedScratch.Of(stackalloc float[1024 + AlignedScratch.Slack]);
        Span<float> weights = AlignedScratch.Of(stackalloc float[1024 + AlignedScratch.Slack]);
        Span<float> trial = AlignedScratch.Of(stackalloc float[1024 + AlignedScratch.Slack]);
        Span<float> scales = stackalloc float[32];
        Span<float> minima = stackalloc float[32];
        Span<float> inverses = stackalloc float[32];
        Span<float> bases = stackalloc float[32];
        for (int g = 0; g < 1024; g += 512)
        {
            KQuantLanes<TLanes>.Transpose(values.Slice(g, 512), 32, transposed.Slice(g, 512));
            Weights<TLanes>(transposed.Slice(g, 512), weights.Slice(g, 512));
        }

        KQuantLanes<TLanes>.ScalesAndMinima(transposed, weights, trial, 32, 15, scales, minima, inverses, bases);
        bool fits = true;
        for (int b = 0; b < Together; b++)
        {
            fits &= EncodeBlock<TLanes>(
                values.Slice(256 * b, 256), scales.Slice(8 * b, 8), minima.Slice(8 * b, 8), inverses.Slice(8 * b, 8), bases.Slice(8 * b, 8), blocks.Slice(144 * b, 144));
        }

        return fits;
    }

    /// <summary>Root mean square of a sub-block plus the magnitude, in lanes.</summary>
    private static void Weights<TLanes>(ReadOnlySpan<float> transposed, Span<float> weights)
        where TLanes : struct, ILanes16<TLanes>
    {
        Span<float> means = stackalloc float[16];
        ref float x = ref MemoryMarshal.GetReference(transposed);
        ref float w = ref MemoryMarshal.GetReference(weights);
        TLanes squares = default;
        for (int i = 0; i < 512; i += 16)
        {
            TLanes value = TLanes.Load(in Unsafe.Add(ref x, i));
            squares = TLanes.Add(squares, TLanes.Multiply(value, value));
        }

        TLanes.Store(TLanes.Divide(squares, TLanes.Create(32f)), ref MemoryMarshal.GetReference(means));
        foreach (ref float mean in means)
        {
            mean = MathF.Sqrt(mean);
        }

        TLanes root = TLanes.Load(in MemoryMarshal.GetReference(means));
        TLanes magnitudeMask = TLanes.CreateInt(0x7FFFFFFF);
        for (int i = 0; i < 512; i += 16)
        {
            TLanes.Store(TLanes.Add(root, TLanes.And(TLanes.Load(in Unsafe.Add(ref x, i)), magnitudeMask)), ref Unsafe.Add(ref w, i));
        }
    }

    [SkipLocalsInit]
    private static bool EncodeBlock<TLanes>(
        ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> minima, ReadOnlySpan<float> inverses, ReadOnlySpan<float> bases, Span<byte> block)
        where TLanes : struct, ILanes16<TLanes>
    {
        float maxScale = 0;
        float maxMinimum = 0;
        for (int j = 0; j < 8; j++)
        {
            if (!float.IsFinite(scales[j]) || !float.IsFinite(minima[j]))
            {
                return false; // x^2 overflowed.
            }

            maxScale = scales[j] > maxScale ? scales[j] : maxScale;
            maxMinimum = minima[j] > maxMinimum ? minima[j] : maxMinimum;
        }

        bool fits = WriteScales(scales, minima, maxScale, maxMinimum, block);
        float unit = GgufHalf.Read(block);
        float minimumUnit = GgufHalf.Read(block[2..]);
        ref float x = ref MemoryMarshal.GetReference(values);
        ref byte to = ref MemoryMarshal.GetReference(block.Slice(16, 128));
        for (int j = 0; j < 8; j++)
        {
            (int sc, int m) = ScaleAndMinimum(block, j);
            float d = unit * sc;
            TLanes divisor = TLanes.Create(d);
            TLanes minimum = TLanes.Create(minimumUnit * m);
            TLanes searched = TLanes.Create(inverses[j]);
            TLanes searchedBase = TLanes.Create(bases[j]);
            for (int l = 0; l < 32; l += 16)
            {
                // A scale that was rounded to 0 leaves the codes of the search.
                TLanes value = TLanes.Load(in Unsafe.Add(ref x, (32 * j) + l));
                TLanes quotient = d == 0
                    ? TLanes.Multiply(searched, TLanes.Subtract(value, searchedBase))
                    : TLanes.Divide(TLanes.Add(value, minimum), divisor);
                Vector128<byte> codes = TLanes.LowBytes(GgufLanes<TLanes>.Clamp(GgufLanes<TLanes>.Nearest(quotient), 0, 15));
                nuint at = (nuint)((32 * (j / 2)) + l);
                (j % 2 == 0 ? codes : Vector128.LoadUnsafe(ref to, at) | (codes << 4)).StoreUnsafe(ref to, at);
            }
        }

        return fits;
    }

    /// <summary>The 6-bit scales and minima with their units; false when a unit is too large for f16.</summary>
    private static bool WriteScales(ReadOnlySpan<float> scales, ReadOnlySpan<float> minima, float maxScale, float maxMinimum, Span<byte> block)
    {
        float toScale = maxScale > 0 ? 63f / maxScale : 0f;
        float toMinimum = maxMinimum > 0 ? 63f / maxMinimum : 0f;
        Span<byte> packed = block.Slice(4, 12);
        for (int j = 0; j < 8; j++)
        {
            int scale = Math.Min(63, GgufHalf.Nearest(toScale * scales[j]) & 0xFF);
            int minimum = Math.Min(63, GgufHalf.Nearest(toMinimum * minima[j]) & 0xFF);
            if (j < 4)
            {
                packed[j] = (byte)scale;
                packed[j + 4] = (byte)minimum;
            }
            else
            {
                packed[j + 4] = (byte)((scale & 15) | ((minimum & 15) << 4));
                packed[j - 4] |= (byte)((scale >> 4) << 6);
                packed[j] |= (byte)((minimum >> 4) << 6);
            }
        }

        return GgufHalf.TryWrite(block, maxScale / 63f) & GgufHalf.TryWrite(block[2..], maxMinimum / 63f);
    }

    public static void DecodeReference(ReadOnlySpan<byte> block, Span<float> values)
    {
        float d = GgufHalf.Read(block);
        float dmin = GgufHalf.Read(block[2..]);
        for (int j = 0; j < 8; j++)
        {
            (int sc, int m) = ScaleAndMinimum(block, j);
            float scale = d * sc;
            float minimum = dmin * m;
            for (int l = 0; l < 32; l++)
            {
                float product = scale * ((block[16 + (j / 2 * 32) + l] >> (j % 2 * 4)) & 15);
                values[(32 * j) + l] = product - minimum;
            }
        }
    }

    public static void Decode<TLanes>(ReadOnlySpan<byte> block, Span<float> values)
        where TLanes : struct, ILanes16<TLanes>
    {
        float d = GgufHalf.Read(block);
        float dmin = GgufHalf.Read(block[2..]);
        Vector128<byte> nibble = Vector128.Create((byte)15);
        ref float to = ref MemoryMarshal.GetReference(values);
        for (int g = 0; g < 4; g++)
        {
            (int sc, int m) = ScaleAndMinimum(block, 2 * g);
            TLanes lowScale = TLanes.Create(d * sc);
            TLanes lowMinimum = TLanes.Create(dmin * m);
            (sc, m) = ScaleAndMinimum(block, (2 * g) + 1);
            TLanes highScale = TLanes.Create(d * sc);
            TLanes highMinimum = TLanes.Create(dmin * m);
            for (int l = 0; l < 32; l += 16)
            {
                Vector128<byte> codes = Vector128.Create<byte>(block.Slice(16 + (32 * g) + l, 16));
                TLanes low = TLanes.IntToFloat(TLanes.FromBytes(codes & nibble));
                TLanes high = TLanes.IntToFloat(TLanes.FromBytes(codes >>> 4));
                TLanes.Store(TLanes.Subtract(TLanes.Multiply(lowScale, low), lowMinimum), ref Unsafe.Add(ref to, (64 * g) + l));
                TLanes.Store(TLanes.Subtract(TLanes.Multiply(highScale, high), highMinimum), ref Unsafe.Add(ref to, (64 * g) + 32 + l));
            }
        }
    }

    private static (int Scale, int Minimum) ScaleAndMinimum(ReadOnlySpan<byte> block, int j)
    {
        ReadOnlySpan<byte> s = block.Slice(4, 12);
        return j < 4
            ? (s[j] & 63, s[j + 4] & 63)
            : ((s[j + 4] & 15) | ((s[j - 4] >> 6) << 4), (s[j + 4] >> 4) | ((s[j] >> 6) << 4));
    }
}
