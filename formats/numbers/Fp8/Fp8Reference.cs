namespace ModelPack.Numbers;

/// <summary><c>fp8</c> one value at a time: the oracle for <see cref="Fp8Kernel{TLanes}"/>.</summary>
internal static class Fp8Reference
{
    /// <summary>f32 sums of a lane are moved to f64 after this many columns.</summary>
    public const int FlushColumns = 256;

    /// <summary>Chooses the scale of every block and encodes it.</summary>
    /// <param name="values">[grid.Rows, grid.Columns], row-major.</param>
    /// <param name="grid">The blocks.</param>
    /// <param name="rule">How scales are chosen.</param>
    /// <param name="scales">[grid.Down, grid.Across].</param>
    /// <param name="codes">One per value.</param>
    /// <returns>False, with part of the output written, when a value is NaN or infinite.</returns>
    public static bool Encode(ReadOnlySpan<float> values, in Fp8Grid grid, in Fp8Rule rule, Span<float> scales, Span<byte> codes)
    {
        int block = 0;
        for (int r = 0; r < grid.Rows; r += grid.BlockRows)
        {
            int height = Math.Min(grid.BlockRows, grid.Rows - r);
            for (int c = 0; c < grid.Columns; c += grid.BlockColumns)
            {
                int width = Math.Min(grid.BlockColumns, grid.Columns - c);
                int from = (r * grid.Columns) + c;
                float amax = Largest(values[from..], height, width, grid.Columns);
                if (!float.IsFinite(amax))
                {
                    return false;
                }

                float scale = Choose(values[from..], height, width, grid.Columns, amax, rule);
                scales[block++] = scale;
                EncodeBlock(values[from..], height, width, grid.Columns, scale, rule.Format, codes[from..]);
            }
        }

        return true;
    }

    /// <summary>Encodes with one given scale.</summary>
    public static void EncodeBlock(ReadOnlySpan<float> values, int height, int width, int stride, float scale, in SmallFloatFormat f, Span<byte> codes)
    {
        for (int r = 0; r < height; r++)
        {
            for (int c = 0; c < width; c++)
            {
                codes[(r * stride) + c] = (byte)SmallFloatReference.Encode(values[(r * stride) + c] / scale, f);
            }
        }
    }

    /// <summary>The largest magnitude; infinity or NaN when there is one.</summary>
    public static float Largest(ReadOnlySpan<float> values, int height, int width, int stride)
    {
        int largest = 0;
        for (int r = 0; r < height; r++)
        {
            foreach (float value in values.Slice(r * stride, width))
            {
                largest = Math.Max(largest, BitConverter.SingleToInt32Bits(value) & 0x7FFFFFFF);
            }
        }

        return BitConverter.Int32BitsToSingle(largest);
    }

    /// <summary>
    /// Adds the squared errors of a row under every candidate of the search, in units of the candidate: 16 lanes of f32 (column mod 16), joined pairwise and added to an f64 every 256 columns.
    /// </summary>
    /// <param name="row">Finite values.</param>
    /// <param name="reciprocals">Of the candidates.</param>
    /// <param name="f">Element type.</param>
    /// <param name="errors">One sum per candidate.</param>
    public static void AddErrors(ReadOnlySpan<float> row, ReadOnlySpan<float> reciprocals, in SmallFloatFormat f, Span<double> errors)
    {
        Span<float> lanes = stackalloc float[16];
        float largest = SmallFloatReference.DecodeFinite(f.MaxCode, f);
        for (int k = 0; k < reciprocals.Length; k++)
        {
            for (int from = 0; from < row.Length; from += FlushColumns)
            {
                lanes.Clear();
                for (int c = from; c < Math.Min(from + FlushColumns, row.Length); c++)
                {
                    float v = Math.Abs(row[c]) * reciprocals[k];
                    int exponent = BitConverter.SingleToInt32Bits(v) & 0x7F800000;
                    float magic = BitConverter.Int32BitsToSingle(Math.Max(exponent, f.MinNormalBits) + ((23 - f.MantissaBits) << 23));
                    float sum = v + magic;
                    float error = v - Math.Min(sum - magic, largest);
                    float square = error * error;
                    lanes[c % 16] += square;
                }

                errors[k] += Sum(lanes);
            }
        }
    }

    private static float Choose(ReadOnlySpan<float> values, int height, int width, int stride, float amax, in Fp8Rule rule)
    {
        float scale = rule.Scale(amax);
        if (!rule.SearchesFrom(scale) || amax == 0)
        {
            return scale;
        }

        Span<float> candidates = stackalloc float[Fp8Rule.Candidates];
        Span<float> reciprocals = stackalloc float[Fp8Rule.Candidates];
        Span<double> errors = stackalloc double[Fp8Rule.Candidates];
        rule.Fill(scale, candidates, reciprocals);
        errors.Clear();
        for (int r = 0; r < height; r++)
        {
            AddErrors(values.Slice(r * stride, width), reciprocals, rule.Format, errors);
        }

        return Fp8Rule.Best(candidates, errors);
    }

    private static float Sum(ReadOnlySpan<float> lanes)
    {
        Span<float> sums = stackalloc float[8];
        for (int i = 0; i < 8; i++)
        {
            sums[i] = lanes[i] + lanes[i + 8];
        }

        for (int half = 4; half > 0; half /= 2)
        {
            for (int i = 0; i < half; i++)
            {
                sums[i] += sums[i + half];
            }
        }

        return sums[0];
    }
}
