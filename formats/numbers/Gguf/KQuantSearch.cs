namespace ModelPack.Numbers;

/// <summary>
/// The scale searches of ggml's K-quants, in its order of f32 operations (no fused operations), so that the same values give the same blocks.
/// </summary>
internal static class KQuantSearch
{
    private const float LeastGroup = 1e-15f;

    /// <summary>
    /// Scale and (negated) minimum that minimise the weighted squared error of codes 0..<paramref name="maxCode"/>, tried at 21 scales around the range.
    /// </summary>
    public static float ScaleAndMinimum(ReadOnlySpan<float> x, int maxCode, ReadOnlySpan<float> weights, Span<byte> codes, out float minimum)
    {
        Span<byte> trial = stackalloc byte[32];
        float min = x[0];
        float max = x[0];
        float sumW = weights[0];
        float sumX = sumW * x[0];
        for (int i = 1; i < x.Length; i++)
        {
            min = x[i] < min ? x[i] : min;
            max = x[i] > max ? x[i] : max;
            sumW += weights[i];
            float product = weights[i] * x[i];
            sumX += product;
        }

        min = min > 0 ? 0 : min;
        if (max == min)
        {
            codes.Clear();
            minimum = -min;
            return 0;
        }

        float inverse = maxCode / (max - min);
        float scale = 1 / inverse;
        float best = 0;
        for (int i = 0; i < x.Length; i++)
        {
            codes[i] = (byte)Math.Clamp(GgufHalf.Nearest(inverse * (x[i] - min)), 0, maxCode);
            best += WeightedSquare(scale, codes[i], min, x[i], weights[i]);
        }

        for (int step = 0; step <= 20; step++)
        {
            float offset = 0.1f * step;
            inverse = (-1f + offset + maxCode) / (max - min);
            float sumL = 0;
            float sumL2 = 0;
            float sumXL = 0;
            for (int i = 0; i < x.Length; i++)
            {
                int l = Math.Clamp(GgufHalf.Nearest(inverse * (x[i] - min)), 0, maxCode);
                trial[i] = (byte)l;
                float wl = weights[i] * l;
                sumL += wl;
                float wl2 = wl * l;
                sumL2 += wl2;
                float wlx = wl * x[i];
                sumXL += wlx;
            }

            float a = sumW * sumL2;
            float b = sumL * sumL;
            float determinant = a - b;
            if (!(determinant > 0))
            {
                continue;
            }

            a = sumW * sumXL;
            b = sumX * sumL;
            float thisScale = (a - b) / determinant;
            a = sumL2 * sumX;
            b = sumL * sumXL;
            float thisMin = (a - b) / determinant;
            if (thisMin > 0)
            {
                thisMin = 0;
                thisScale = sumXL / sumL2;
            }

            float error = 0;
            for (int i = 0; i < x.Length; i++)
            {
                error += WeightedSquare(thisScale, trial[i], thisMin, x[i], weights[i]);
            }

            if (error < best)
            {
                trial[..x.Length].CopyTo(codes);
                best = error;
                scale = thisScale;
                min = thisMin;
            }
        }

        minimum = -min;
        return scale;
    }

    /// <summary>The signed scale that minimises the error, weighted by x^2, of codes -<paramref name="half"/>..<paramref name="half"/> - 1, stored with that offset.</summary>
    public static float SymmetricScale(ReadOnlySpan<float> x, int half, Span<byte> codes)
    {
        float max = GgufHalf.Largest(x);
        if (Math.Abs(max) < LeastGroup)
        {
            codes.Clear();
            return 0;
        }

        float inverse = -half / max;
        (float sumXL, float sumL2) = Sums(x, inverse, half);
        Fill(x, inverse, half, codes);
        float scale = sumL2 != 0 ? sumXL / sumL2 : 0;
        float best = scale * sumXL;
        for (int step = -9; step <= 9; step++)
        {
            if (step == 0)
            {
                continue;
            }

            float offset = 0.1f * step;
            inverse = -(half + offset) / max;
            (sumXL, sumL2) = Sums(x, inverse, half);
            float square = sumXL * sumXL;
            float limit = best * sumL2;
            if (sumL2 > 0 && square > limit)
            {
                Fill(x, inverse, half, codes);
                scale = sumXL / sumL2;
                best = scale * sumXL;
            }
        }

        return scale;
    }

    private static (float SumXL, float SumL2) Sums(ReadOnlySpan<float> x, float inverse, int half)
    {
        float sumXL = 0;
        float sumL2 = 0;
        for (int i = 0; i < x.Length; i++)
        {
            int l = Math.Clamp(GgufHalf.Nearest(inverse * x[i]), -half, half - 1);
            float w = x[i] * x[i];
            float wx = w * x[i];
            wx *= l;
            sumXL += wx;
            float wl = w * l;
            wl *= l;
            sumL2 += wl;
        }

        return (sumXL, sumL2);
    }

    private static void Fill(ReadOnlySpan<float> x, float inverse, int half, Span<byte> codes)
    {
        for (int i = 0; i < x.Length; i++)
        {
            codes[i] = (byte)(Math.Clamp(GgufHalf.Nearest(inverse * x[i]), -half, half - 1) + half);
        }
    }

    private static float WeightedSquare(float scale, int code, float min, float x, float weight)
    {
        float product = scale * code;
        float difference = product + min - x;
        difference *= difference;
        return weight * difference;
    }
}
