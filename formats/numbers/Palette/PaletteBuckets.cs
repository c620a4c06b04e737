namespace ModelPack.Numbers;

/// <summary>
/// Search among up to 255 thresholds: a table gives the code at the start of a value's bucket of 2^16 keys (a 128th of a binade), a fixed number of comparisons the rest. Palettes with many
/// entries in one bucket are searched by halving instead. Neither has a branch that depends on the values.
/// </summary>
internal sealed class PaletteBuckets
{
    /// <summary>More thresholds than this in one bucket, and halving is faster.</summary>
    private const int MaxSteps = 3;

    private readonly byte[] _starts = new byte[1 << 16];
    private int[] _thresholds = [];
    private int _steps;

    /// <param name="thresholds">A power of two of keys, ascending, the last the largest integer; kept.</param>
    public void Fill(int[] thresholds)
    {
        _thresholds = thresholds;
        _steps = 0;
        int next = 0;
        int inside = 0;
        for (int code = 0; code < thresholds.Length; code++)
        {
            // Buckets up to that of this threshold start with this code, those above it with a later one.
            int bucket = Bucket(thresholds[code]);
            inside = code > 0 && Bucket(thresholds[code - 1]) == bucket ? inside + 1 : 1;
            _steps = thresholds[code] == int.MaxValue ? _steps : Math.Max(_steps, inside);
            if (bucket >= next)
            {
                _starts.AsSpan(next, bucket - next + 1).Fill((byte)code);
                next = bucket + 1;
            }
        }
    }

    /// <summary>One code per value.</summary>
    public void Encode(ReadOnlySpan<float> values, Span<byte> codes)
    {
        codes = codes[..values.Length];
        if (_steps == 1)
        {
            EncodeOneStep(values, codes);
        }
        else if (_steps <= MaxSteps)
        {
            EncodeSteps(values, codes);
        }
        else
        {
            EncodeHalving(values, codes);
        }
    }

    private static int Bucket(int key) => (int)(((uint)key ^ 0x80000000) >> 16);

    private void EncodeOneStep(ReadOnlySpan<float> values, Span<byte> codes)
    {
        ReadOnlySpan<int> thresholds = _thresholds;
        ReadOnlySpan<byte> starts = _starts;
        for (int i = 0; i < values.Length; i++)
        {
            int key = FloatKey.Of(values[i]);
            int code = starts[Bucket(key)];
            codes[i] = (byte)(code + (thresholds[code] < key ? 1 : 0));
        }
    }

    private void EncodeSteps(ReadOnlySpan<float> values, Span<byte> codes)
    {
        ReadOnlySpan<int> thresholds = _thresholds;
        ReadOnlySpan<byte> starts = _starts;
        for (int i = 0; i < values.Length; i++)
        {
            int key = FloatKey.Of(values[i]);
            int code = starts[Bucket(key)];
            for (int step = 0; step < _steps; step++)
            {
                code += thresholds[code] < key ? 1 : 0;
            }

            codes[i] = (byte)code;
        }
    }

    private void EncodeHalving(ReadOnlySpan<float> values, Span<byte> codes)
    {
        ReadOnlySpan<int> thresholds = _thresholds;
        for (int i = 0; i < values.Length; i++)
        {
            int key = FloatKey.Of(values[i]);
            int code = 0;
            for (int half = thresholds.Length / 2; half > 0; half /= 2)
            {
                code += thresholds[code + half - 1] < key ? half : 0;
            }

            codes[i] = (byte)code;
        }
    }
}
