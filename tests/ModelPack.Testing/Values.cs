namespace ModelPack.Testing;

/// <summary>Seeded test values: the same seed gives the same values on every machine and .NET version.</summary>
public static class Values
{
    /// <summary>A generator of well-mixed 64-bit numbers (SplitMix64).</summary>
    public static ulong Next(ref ulong state)
    {
        state += 0x9E3779B97F4A7C15;
        ulong z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Bell-shaped weights around zero with standard deviation about 0.05, a few outliers and a few exact zeros.</summary>
    public static float[] Weights(ulong seed, int count)
    {
        ulong state = seed * 0x9E3779B97F4A7C15;
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            float sum = 0;
            for (int k = 0; k < 4; k++)
            {
                sum += (Next(ref state) >> 40) * (1f / (1 << 24));
            }

            ulong dice = Next(ref state) & 127;
            values[i] = dice == 0 ? 0f : (sum - 2f) * (dice == 1 ? 1.5f : 0.09f);
        }

        return values;
    }

    /// <summary>Any f32 bit patterns: NaN, infinities and subnormals included.</summary>
    public static float[] AnyBits(ulong seed, int count)
    {
        ulong state = seed * 0x9E3779B97F4A7C15;
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = BitConverter.UInt32BitsToSingle((uint)Next(ref state));
        }

        return values;
    }
}
