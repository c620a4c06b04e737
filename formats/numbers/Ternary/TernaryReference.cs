namespace ModelPack.Numbers;

/// <summary>Ternary rows one value at a time: the oracle for <see cref="TernaryKernel{TLanes}"/>.</summary>
internal static class TernaryReference
{
    public static void EncodeRow(ReadOnlySpan<float> row, TernaryScale scale, bool base3, Span<byte> codes)
    {
        codes.Clear();
        if (!base3)
        {
            for (int i = 0; i < codes.Length * 4; i++)
            {
                codes[i / 4] |= (byte)((i < row.Length ? scale.Trit(row[i]) + 1 : 1) << (2 * (i % 4)));
            }

            return;
        }

        for (int at = 0; at < codes.Length; at++)
        {
            int packed = 0;
            for (int k = 0; k < 5; k++)
            {
                int index = Base3Index(at, k, codes.Length);
                packed = (packed * 3) + (index < row.Length ? scale.Trit(row[index]) + 1 : 1);
            }

            codes[at] = Trits.Fractions[packed];
        }
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, float value, bool base3, Span<float> row)
    {
        if (!base3)
        {
            for (int i = 0; i < row.Length; i++)
            {
                row[i] = (((codes[i / 4] >> (2 * (i % 4))) & 3) - 1) * value;
            }

            return;
        }

        for (int at = 0; at < codes.Length; at++)
        {
            for (int k = 0; k < 5; k++)
            {
                int index = Base3Index(at, k, codes.Length);
                if (index < row.Length)
                {
                    row[index] = (Trits.Get(codes[at], k) - 1) * value;
                }
            }
        }
    }

    /// <summary>Which value trit <paramref name="k"/> of byte <paramref name="at"/> is: groups of 16 bytes hold 80 values, trit k of byte m being value 16k + m; a last group of w bytes has value wk + m.</summary>
    internal static int Base3Index(int at, int k, int rowBytes)
    {
        int group = at / 16;
        int width = Math.Min(16, rowBytes - (16 * group));
        return (80 * group) + (width * k) + (at % 16);
    }
}
