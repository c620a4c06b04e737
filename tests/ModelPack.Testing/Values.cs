namespace ModelPack.Testing;

/// <summary>Seeded test values: the same seed gives the same values on every machine and .NET version.</summary>
public static class Values
{
    /// <summary>Bell-shaped weights around zero with standard deviation about 0.05, a few outliers and a few exact zeros.</summary>
    public static float[] Weights(ulong seed, int count)
    {
        var random = new SplitMix(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            float sum = 0;
            for (int k = 0; k < 4; k++)
            {
                sum += (random.Next() >> 40) * (1f / (1 << 24));
            }

            ulong dice = random.Next() & 127;
            values[i] = dice == 0 ? 0f : (sum - 2f) * (dice == 1 ? 1.5f : 0.09f);
        }

        return values;
    }

    /// <summary>Any f32 bit patterns: NaN, infinities and subnormals included.</summary>
    public static float[] AnyBits(ulong seed, int count)
    {
        var random = new SplitMix(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = BitConverter.UInt32BitsToSingle((uint)random.Next());
        }

        return values;
    }
}
