namespace ModelPack.Numbers;

/// <summary>
/// A palette prepared for coding. The code of a value is the number of thresholds below it in the order of <see cref="FloatKey"/>; threshold r is the largest f32 that entry r still
/// represents: at or below the midpoint between entries r and r+1. Can be filled again with another palette of the same width.
/// </summary>
internal sealed class Palette
{
    private readonly float[] _values;
    private readonly int[] _thresholds;
    private ByteTable? _table;
    private PaletteBuckets? _buckets;

    public Palette(int bits)
    {
        Bits = bits;
        _values = new float[Math.Max(16, 1 << bits)];
        _thresholds = new int[_values.Length];
    }

    public Palette(int bits, ReadOnlySpan<float> entries)
        : this(bits) => Fill(entries);

    /// <summary>Width of a code.</summary>
    public int Bits { get; }

    /// <summary>Values by code; at least 16, the rest zeros.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Thresholds by code as keys; at least 16, from the last entry's on the largest integer.</summary>
    public ReadOnlySpan<int> Thresholds => _thresholds;

    /// <summary>Takes 2^bits finite entries in ascending order; equal entries are allowed, the first of them is used.</summary>
    public void Fill(ReadOnlySpan<float> entries)
    {
        entries.CopyTo(_values);
        _thresholds.AsSpan().Fill(int.MaxValue);
        for (int i = 0; i + 1 < entries.Length; i++)
        {
            _thresholds[i] = Threshold(entries[i], entries[i + 1]);
        }

        _buckets?.Fill(_thresholds);
        if (_table is not null)
        {
            FillTable(_table);
        }
    }

    /// <summary>The decoder of codes of 5 bits and more, one code per byte.</summary>
    public ByteTable Table
    {
        get
        {
            if (_table is null)
            {
                var table = new ByteTable(new float[256]);
                FillTable(table);
                _table = table; // Filled before others see it: bound formats are shared by threads.
            }

            return _table;
        }
    }

    /// <summary>The encoder for codes of 5 bits and more, one code per byte.</summary>
    public PaletteBuckets Buckets
    {
        get
        {
            if (_buckets is null)
            {
                var buckets = new PaletteBuckets();
                buckets.Fill(_thresholds);
                _buckets = buckets; // As above.
            }

            return _buckets;
        }
    }

    /// <summary>The code of one value, by counting: the definition.</summary>
    public byte Encode(float value)
    {
        int key = FloatKey.Of(value);
        int code = 0;
        while (_thresholds[code] < key)
        {
            code++;
        }

        return (byte)code;
    }

    private static int Threshold(float low, float high)
    {
        if (low == high)
        {
            return FloatKey.Of(low); // Equal entries, or -0 and +0.
        }

        double middle = ((double)low + high) / 2;
        float threshold = (float)middle;
        return FloatKey.Of(threshold > middle ? MathF.BitDecrement(threshold) : threshold);
    }

    private void FillTable(ByteTable table)
    {
        Span<float> all = stackalloc float[256];
        all.Clear();
        _values.CopyTo(all);
        table.Fill(all);
    }
}
