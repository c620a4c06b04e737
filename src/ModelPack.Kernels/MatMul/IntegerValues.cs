namespace ModelPack.Kernels.MatMul;

/// <summary>A table of at most 16 values as integers of 8 bits times a unit, for the kernels that multiply integers.</summary>
/// <param name="Bytes">Integer of each code plus <paramref name="Zero"/>, repeated to 16.</param>
/// <param name="Zero">What is added so that no byte is negative.</param>
/// <param name="Unit">Value of an integer 1.</param>
/// <param name="Error">Largest difference between a value and its integer times unit, relative to the largest value; 0 when exact.</param>
internal sealed record IntegerValues(byte[] Bytes, int Zero, float Unit, float Error)
{
    private const int Most = 127;

    /// <summary>Exact where all values are multiples of the smallest, as those of E2M1 are; else rounded to 127ths of the largest. Null when a value is no number.</summary>
    public static IntegerValues? Of(ReadOnlySpan<float> table)
    {
        float largest = 0;
        float smallest = float.PositiveInfinity;
        foreach (float value in table)
        {
            if (!float.IsFinite(value))
            {
                return null;
            }

            largest = Math.Max(largest, Math.Abs(value));
            smallest = value == 0 ? smallest : Math.Min(smallest, Math.Abs(value));
        }

        if (largest == 0)
        {
            return new IntegerValues(new byte[16], 0, 1, 0);
        }

        bool exact = largest / smallest <= Most;
        foreach (float value in table)
        {
            exact = exact && value == MathF.Round(value / smallest) * smallest;
        }

        float unit = exact ? smallest : largest / Most;
        int zero = (int)MathF.Round(largest / unit);
        byte[] bytes = new byte[16];
        float error = 0;
        for (int code = 0; code < bytes.Length; code++)
        {
            float value = table[code % table.Length];
            int rounded = (int)MathF.Round(value / unit);
            bytes[code] = (byte)(rounded + zero);
            error = Math.Max(error, Math.Abs((rounded * unit) - value) / largest);
        }

        return new IntegerValues(bytes, zero, unit, exact ? 0 : error);
    }
}
