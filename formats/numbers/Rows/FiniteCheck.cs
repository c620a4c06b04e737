using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Finds NaN and infinities.</summary>
internal static class FiniteCheck
{
    /// <summary>The index of the first NaN or infinity, or -1.</summary>
    public static int FirstNotFinite(ReadOnlySpan<float> values)
    {
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            ref float x = ref MemoryMarshal.GetReference(values);
            Vector128<int> mask = Vector128.Create(0x7FFFFFFF);
            Vector128<int> largest = Vector128.Create(0x7F7FFFFF);
            for (; i + 16 <= values.Length; i += 16)
            {
                Vector128<int> a = Vector128.Max(Vector128.LoadUnsafe(ref x, (nuint)i).AsInt32() & mask, Vector128.LoadUnsafe(ref x, (nuint)i + 4).AsInt32() & mask);
                Vector128<int> b = Vector128.Max(Vector128.LoadUnsafe(ref x, (nuint)i + 8).AsInt32() & mask, Vector128.LoadUnsafe(ref x, (nuint)i + 12).AsInt32() & mask);
                if (Vector128.GreaterThanAny(Vector128.Max(a, b), largest))
                {
                    break;
                }
            }
        }

        for (; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                return i;
            }
        }

        return -1;
    }
}
