using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace ModelPack.Numbers;

/// <summary>
/// A fixed set of at most 256 values within [-1, 1]. Encoding counts the midpoints between neighbouring values that lie strictly below x: a value on a midpoint takes the lower neighbour.
/// </summary>
internal sealed class Codebook
{
    /// <summary>Count of thresholds below the least f32 with the given upper 16 bits (sign-magnitude order as stored): where a search starts.</summary>
    private readonly byte[] _starts = [];

    private readonly float[] _thresholds;

    private readonly byte[] _codes;

    private readonly bool _codesAreRanks;

    /// <param name="bits">4 or 8.</param>
    /// <param name="values">f32 bit patterns by code.</param>
    /// <param name="zeroCode">Of several codes of the value zero, the one that encoders write.</param>
    public Codebook(int bits, ReadOnlySpan<uint> values, int zeroCode)
    {
        Bits = bits;
        Values = new float[1 << bits];
        for (int code = 0; code < Values.Length; code++)
        {
            Values[code] = BitConverter.UInt32BitsToSingle(values[code]);
        }

        int[] order = [.. Enumerable.Range(0, Values.Length).Where(c => Values[c] != 0 || c == zeroCode).OrderBy(c => Values[c])];
        _codes = [.. order.Select(c => (byte)c)];
        _thresholds = new float[Values.Length];
        _thresholds.AsSpan().Fill(float.PositiveInfinity);
        for (int rank = 0; rank + 1 < order.Length; rank++)
        {
            _thresholds[rank] = (Values[order[rank]] + Values[order[rank + 1]]) / 2;
        }

        _codesAreRanks = !order.Where((code, rank) => code != rank).Any();
        if (bits == 8)
        {
            _starts = Starts(_thresholds);
            Table = new ByteTable(Values);
        }
    }

    /// <summary>QLoRA's NormalFloat.</summary>
    public static Codebook Nf4 { get; } = new(4, CodebookTables.Nf4, 7);

    /// <summary>The 4-bit float of bitsandbytes.</summary>
    public static Codebook Fp4 { get; } = new(4, CodebookTables.Fp4, 0);

    /// <summary>The signed dynamic-tree map of bitsandbytes.</summary>
    public static Codebook Dynamic8 { get; } = new(8, CodebookTables.Dynamic8, 127);

    /// <summary>The unsigned one: for values that are never negative.</summary>
    public static Codebook Dynamic8Unsigned { get; } = new(8, CodebookTables.Dynamic8Unsigned, 0);

    /// <summary>Width of a code.</summary>
    public int Bits { get; }

    /// <summary>Values by code.</summary>
    public float[] Values { get; }

    /// <summary>The decoder of 8-bit codebooks.</summary>
    public ByteTable? Table { get; }

    /// <summary>Upper ends of the ranks, ascending, padded with infinity to 2^bits.</summary>
    public ReadOnlySpan<float> Thresholds => _thresholds;

    /// <summary>Codes by rank.</summary>
    public ReadOnlySpan<byte> Codes => _codes;

    /// <summary>The code of one value, by counting: the definition.</summary>
    public byte Encode(float value)
    {
        int rank = 0;
        while (_thresholds[rank] < value)
        {
            rank++;
        }

        return _codes[rank];
    }

    /// <summary>
    /// Codes of values within [-1, 1] for an 8-bit codebook: a table entry per upper half of an f32, then the one threshold that may lie inside (<see cref="Starts"/> makes sure
    /// that there are no two), without a branch.
    /// </summary>
    public void Encode8(ReadOnlySpan<float> values, Span<byte> codes, SimdTier tier)
    {
        codes = codes[..values.Length];
        int done = Avx2.IsSupported && _codesAreRanks && tier >= SimdTier.Vector256 ? Encode8Gathered(values, codes) : 0;
        ref byte starts = ref MemoryMarshal.GetArrayDataReference(_starts);
        ref float thresholds = ref MemoryMarshal.GetArrayDataReference(_thresholds);
        ref byte byRank = ref MemoryMarshal.GetArrayDataReference(_codes);
        for (int i = done; i < values.Length; i++)
        {
            float value = values[i];
            nuint rank = Unsafe.Add(ref starts, BitConverter.SingleToUInt32Bits(value) >> 16);
            rank += Unsafe.BitCast<bool, byte>(Unsafe.Add(ref thresholds, rank) < value);
            codes[i] = Unsafe.Add(ref byRank, rank);
        }
    }

    /// <summary>Eight values at a time by two gathers: the starting rank (of four bytes read, the first), then the threshold at that rank. Returns how many values were coded.</summary>
    private unsafe int Encode8Gathered(ReadOnlySpan<float> values, Span<byte> codes)
    {
        ref float from = ref MemoryMarshal.GetReference(values);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        Vector256<int> low = Vector256.Create(0xFF);
        int i = 0;
        fixed (byte* starts = _starts)
        fixed (float* thresholds = _thresholds)
        {
            for (; i + 16 <= values.Length; i += 16)
            {
                Vector256<float> a = Vector256.LoadUnsafe(ref from, (nuint)i);
                Vector256<float> b = Vector256.LoadUnsafe(ref from, (nuint)i + 8);
                Vector256<int> rankA = Avx2.GatherVector256((int*)starts, a.AsInt32() >>> 16, 1) & low;
                Vector256<int> rankB = Avx2.GatherVector256((int*)starts, b.AsInt32() >>> 16, 1) & low;
                rankA -= Vector256.LessThan(Avx2.GatherVector256(thresholds, rankA, 4), a).AsInt32();
                rankB -= Vector256.LessThan(Avx2.GatherVector256(thresholds, rankB, 4), b).AsInt32();
                Vector256<ushort> words = Vector256.Narrow(rankA.AsUInt32(), rankB.AsUInt32());
                Vector128.Narrow(words.GetLower(), words.GetUpper()).StoreUnsafe(ref to, (nuint)i);
            }
        }

        return i;
    }

    private static byte[] Starts(float[] thresholds)
    {
        byte[] starts = new byte[65536 + 3];
        for (int top = 0; top < 65536; top++)
        {
            // The least value of the bucket: its low half all zeros for positive numbers, all ones for negative ones.
            uint bits = (uint)top << 16;
            float least = BitConverter.UInt32BitsToSingle(top >= 0x8000 ? bits | 0xFFFF : bits);
            float greatest = BitConverter.UInt32BitsToSingle(top >= 0x8000 ? bits : bits | 0xFFFF);
            int rank = 0;
            while (!float.IsNaN(least) && thresholds[rank] < least)
            {
                rank++;
            }

            starts[top] = (byte)rank;
            if (rank + 1 < thresholds.Length && thresholds[rank + 1] < Math.Min(greatest, 1))
            {
                throw new InvalidOperationException("two thresholds of a codebook share the upper half of an f32");
            }
        }

        return starts;
    }
}
