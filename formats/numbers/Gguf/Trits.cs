using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// Five trits in a byte: v = sum of t_k 3^(4-k), stored as ceil(v x 256 / 243), a fixed-point fraction of which multiplication by 3 pushes out one trit after the other, t_0 first.
/// </summary>
internal static class Trits
{
    /// <summary>ceil(v x 256 / 243).</summary>
    public static ReadOnlySpan<byte> Fractions => Table;

    private static readonly byte[] Table = [.. Enumerable.Range(0, 243).Select(v => (byte)(((v * 256) + 242) / 243))];

    /// <summary>Trit <paramref name="k"/>, 0 to 2, of a byte.</summary>
    public static int Get(byte packed, int k)
    {
        int fraction = packed;
        for (int i = 0; i < k; i++)
        {
            fraction = (fraction * 3) & 0xFF;
        }

        return (fraction * 3) >> 8;
    }

    /// <summary>The leading trits of 16 fractions: how many of the thirds 86 and 171 each has reached.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Leading(Vector128<byte> fractions)
    {
        // Comparisons give -1.
        Vector128<byte> one = Vector128.GreaterThan(fractions, Vector128.Create((byte)85));
        Vector128<byte> two = Vector128.GreaterThan(fractions, Vector128.Create((byte)170));
        return Vector128<byte>.Zero - one - two;
    }

    /// <summary>The fractions behind the leading trits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Next(Vector128<byte> fractions) => fractions + fractions + fractions;
}
