namespace ModelPack.Numbers;

/// <summary>NVFP4 rows one value at a time, by exact quotients in double: the oracle for <see cref="Nvfp4Kernel{TLanes}"/>.</summary>
internal static class Nvfp4Reference
{
    public static void EncodeRow(ReadOnlySpan<float> row, float global, Span<byte> codes, Span<byte> scales)
    {
        codes.Clear();
        for (int b = 0; b < scales.Length; b++)
        {
            int start = b * Nvfp4Format.Block;
            ReadOnlySpan<float> values = row[start..Math.Min(row.Length, start + Nvfp4Format.Block)];
            float amax = 0;
            foreach (float value in values)
            {
                amax = Math.Max(amax, Math.Abs(value));
            }

            float quotient = amax / 6f;
            quotient /= global;
            int scale = ElementFormat.E4M3.Encode(quotient);
            scales[b] = (byte)scale;
            double unit = (double)ElementFormat.E4M3.Values[scale] * global;
            for (int i = 0; unit > 0 && i < values.Length; i++)
            {
                CodePacking.Set(codes, start + i, 4, EncodeElement(values[i], unit));
            }
        }
    }

    public static void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, float global, Span<float> row)
    {
        for (int i = 0; i < row.Length; i++)
        {
            double value = (double)ElementFormat.E2M1.Values[CodePacking.Get(codes, i, 4)] * ElementFormat.E4M3.Values[scales[i / Nvfp4Format.Block]];
            row[i] = (float)(value * global);
        }
    }

    /// <summary>Nearest element to x / unit, ties to the even code: the number of ties below x, each a product that is exact in double.</summary>
    private static int EncodeElement(float value, double unit)
    {
        double magnitude = Math.Abs((double)value);
        int code = 0;
        float[] elements = ElementFormat.E2M1.Values;
        while (code < 7)
        {
            double tie = (elements[code] + elements[code + 1]) / 2.0 * unit;
            if (magnitude < tie || (magnitude == tie && (code & 1) == 0))
            {
                break;
            }

            code++;
        }

        return float.IsNegative(value) ? code | 8 : code;
    }
}
