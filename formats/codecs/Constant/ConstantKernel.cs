namespace ModelPack.Codecs;

/// <summary>The loops of the constant codec; nothing here can fail.</summary>
internal static class ConstantKernel
{
    /// <summary>The smallest power of two p &lt;= <paramref name="maxPeriod"/>, p &lt; length, with raw[i] = raw[i - p] for all i >= p; 0 when there is none.</summary>
    public static int FindPeriod(ReadOnlySpan<byte> raw, int maxPeriod)
    {
        for (int period = 1; period <= maxPeriod && period < raw.Length; period *= 2)
        {
            if (raw[period..].SequenceEqual(raw[..^period]))
            {
                return period;
            }
        }

        return 0;
    }

    /// <summary>Repeats the pattern over the whole destination; the last repetition may be cut.</summary>
    public static void Fill(ReadOnlySpan<byte> pattern, Span<byte> destination)
    {
        if (pattern.Length == 1)
        {
            destination.Fill(pattern[0]);
            return;
        }

        // Doubling copies: after each step the filled prefix is a whole number of patterns.
        pattern.CopyTo(destination);
        int filled = pattern.Length;
        while (filled < destination.Length)
        {
            int n = Math.Min(filled, destination.Length - filled);
            destination[..n].CopyTo(destination[filled..]);
            filled += n;
        }
    }
}
