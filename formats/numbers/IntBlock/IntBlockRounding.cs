using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>Rounding of single values that have each their own scale and zero point, one at a time: the oracle for <see cref="IntBlockRounding{TLanes}"/>.</summary>
internal static class IntBlockRounding
{
    public static void Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, in IntBlockLayout layout, Span<byte> codes, Span<float> rounded)
    {
        for (int i = 0; i < values.Length; i++)
        {
            float quotient = values[i] / scales[i];
            float zero = zeros[i];
            float code = layout.FloatZero
                ? MathF.Round(Math.Min(Math.Max(quotient + zero, 0), layout.MaxCode))
                : MathF.Round(Math.Min(Math.Max(quotient, -zero), layout.MaxCode - zero)) + zero;
            codes[i] = (byte)code;
            rounded[i] = (code - zero) * scales[i];
        }
    }
}

/// <summary>Sixteen values at a time; whole groups only.</summary>
internal static class IntBlockRounding<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    /// <summary>Rounds whole groups of 16 values and returns how many.</summary>
    public static int Round(ReadOnlySpan<float> values, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, in IntBlockLayout layout, Span<byte> codes, Span<float> rounded)
    {
        TLanes magic = TLanes.Create(IntBlockKernel<TLanes>.RoundingMagic);
        TLanes maxCode = TLanes.Create(layout.MaxCode);
        bool floatZero = layout.FloatZero;
        int count = values.Length & ~15;
        scales = scales[..count];
        zeros = zeros[..count];
        codes = codes[..count];
        rounded = rounded[..count];
        for (int i = 0; i < count; i += 16)
        {
            TLanes scale = TLanes.Load(in MemoryMarshal.GetReference(scales[i..]));
            TLanes zero = TLanes.Load(in MemoryMarshal.GetReference(zeros[i..]));
            TLanes code = TLanes.Divide(TLanes.Load(in MemoryMarshal.GetReference(values[i..])), scale);
            code = floatZero ? TLanes.Min(TLanes.Max(TLanes.Add(code, zero), default), maxCode) : TLanes.Min(TLanes.Max(code, TLanes.Subtract(default, zero)), TLanes.Subtract(maxCode, zero));
            code = TLanes.Subtract(TLanes.Add(code, magic), magic);
            code = floatZero ? code : TLanes.Add(code, zero);
            TLanes.LowBytes(TLanes.TruncateToInt(code)).CopyTo(codes[i..]);
            TLanes.Store(TLanes.Multiply(TLanes.Subtract(code, zero), scale), ref MemoryMarshal.GetReference(rounded[i..]));
        }

        return count;
    }
}
