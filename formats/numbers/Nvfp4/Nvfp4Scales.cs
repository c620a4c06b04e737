using System.Runtime.CompilerServices;

namespace ModelPack.Numbers;

/// <summary>
/// What the rounding of elements needs to know for one global scale g: for every scale code s the f32 numbers that |x| must exceed for its code to be at least 1, ..., 7.
/// </summary>
/// <remarks>
/// Code k is reached at t·s·g with t = 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, where a tie goes up for the 2nd, 4th and 6th (the even codes). t·s·g has at most 31 significant bits, so it is
/// exact in double; and an f32 exceeds (or reaches) it exactly when it exceeds the largest f32 that is not above (is below) it. So comparing f32 bits decides as exact arithmetic does.
/// </remarks>
internal sealed class Nvfp4Scales
{
    /// <summary>Entries per scale code: seven limits and one that nothing exceeds.</summary>
    public const int Stride = 8;

    private readonly int[] _limits = new int[128 * Stride];

    public Nvfp4Scales(float global)
    {
        Global = global;
        ReadOnlySpan<double> ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5];
        for (int code = 0; code < 127; code++)
        {
            double scale = (double)ElementFormat.E4M3.Values[code] * global;
            for (int k = 0; k < ties.Length; k++)
            {
                _limits[(code * Stride) + k] = LargestF32Before(ties[k] * scale, inclusive: (k & 1) == 0);
            }

            _limits[(code * Stride) + 7] = int.MaxValue;
        }

        // A zero scale takes code 0 whatever the values are.
        _limits.AsSpan(0, Stride).Fill(int.MaxValue);
    }

    /// <summary>The scale of the tensor.</summary>
    public float Global { get; }

    /// <summary>Limits as f32 bits, <see cref="Stride"/> per scale code.</summary>
    public ReadOnlySpan<int> Limits => _limits;

    /// <summary>The scale code for a block with largest magnitude <paramref name="amax"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int ScaleCode(float amax)
    {
        // Normal numbers of E4M3, 2^-6 to 448: half a unit less one, and the bit that decides ties, then 20 bits of fraction less and a bias of 7 instead of 127.
        const int least = 0x3C800000;
        const int greatest = 0x43E00000;
        float scale = amax / 6f / Global;
        int bits = BitConverter.SingleToInt32Bits(scale);
        return (uint)(bits - least) <= greatest - least
            ? ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - (120 << 3)
            : SmallFloatReference.Encode(scale, SmallFloatFormat.E4M3Fn);
    }

    /// <summary>Bits of the largest f32 at most (or below) a non-negative number; -1 when there is none.</summary>
    private static int LargestF32Before(double value, bool inclusive)
    {
        if (value > float.MaxValue)
        {
            return BitConverter.SingleToInt32Bits(float.MaxValue);
        }

        float nearest = (float)value;
        bool fits = inclusive ? nearest <= value : nearest < value;
        return BitConverter.SingleToInt32Bits(nearest) - (fits ? 0 : 1);
    }
}
