using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Numbers;

/// <summary>
/// NVFP4 rows over 16 lanes, a block being one group. Encoding counts the limits of the block's scale (see <see cref="Nvfp4Scales"/>) that lie below a magnitude, comparing f32 bits as
/// integers; decoding looks codes up and multiplies by the block scale, which is exact, then by the global one, which rounds once.
/// </summary>
internal static class Nvfp4Kernel<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    [SkipLocalsInit]
    public static void EncodeRow(ReadOnlySpan<float> row, Nvfp4Scales table, Span<byte> codes, Span<byte> scales)
    {
        ref float x = ref MemoryMarshal.GetReference(row);
        ref byte to = ref MemoryMarshal.GetReference(codes);
        ref int limits = ref MemoryMarshal.GetReference(table.Limits);
        int whole = row.Length / 16;
        for (int b = 0; b < whole; b++)
        {
            Unsafe.WriteUnaligned(ref Unsafe.Add(ref to, 8 * b), EncodeBlock(TLanes.Load(ref Unsafe.Add(ref x, 16 * b)), table, ref limits, ref scales[b]));
        }

        if (whole < scales.Length)
        {
            Span<float> rest = stackalloc float[16];
            rest.Clear();
            row[(16 * whole)..].CopyTo(rest);
            ulong packed = EncodeBlock(TLanes.Load(in MemoryMarshal.GetReference(rest)), table, ref limits, ref scales[whole]);
            Span<byte> last = codes[(8 * whole)..];
            MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in packed))[..last.Length].CopyTo(last);
        }
    }

    [SkipLocalsInit]
    public static void DecodeRow(ReadOnlySpan<byte> codes, ReadOnlySpan<byte> scales, float global, Span<float> row)
    {
        TLanes elements = TLanes.Load(in MemoryMarshal.GetArrayDataReference(ElementFormat.E2M1.Values));
        TLanes factor = TLanes.Create(global);
        ref float scaleValues = ref MemoryMarshal.GetArrayDataReference(ElementFormat.E4M3.Values);
        ref float to = ref MemoryMarshal.GetReference(row);
        int whole = row.Length / 16;
        for (int b = 0; b < whole; b++)
        {
            TLanes v = TLanes.Lookup16(elements, TLanes.FromBytes(CodePacking.Unpack16(codes.Slice(8 * b, 8), 4)));
            v = TLanes.Multiply(TLanes.Multiply(v, TLanes.Create(Unsafe.Add(ref scaleValues, scales[b]))), factor);
            TLanes.Store(v, ref Unsafe.Add(ref to, 16 * b));
        }

        if (whole < scales.Length)
        {
            Span<byte> packed = stackalloc byte[8];
            Span<float> decoded = stackalloc float[16];
            packed.Clear();
            codes[(8 * whole)..].CopyTo(packed);
            TLanes v = TLanes.Lookup16(elements, TLanes.FromBytes(CodePacking.Unpack16(packed, 4)));
            v = TLanes.Multiply(TLanes.Multiply(v, TLanes.Create(Unsafe.Add(ref scaleValues, scales[whole]))), factor);
            TLanes.Store(v, ref MemoryMarshal.GetReference(decoded));
            decoded[..(row.Length - (16 * whole))].CopyTo(row[(16 * whole)..]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong EncodeBlock(TLanes values, Nvfp4Scales table, ref int limits, ref byte scale)
    {
        TLanes magnitudes = TLanes.And(values, TLanes.CreateInt(0x7FFFFFFF));
        int code = table.ScaleCode(BitConverter.Int32BitsToSingle(TLanes.MaxIntAcross(magnitudes)));
        scale = (byte)code;
        if (code == 0)
        {
            return 0;
        }

        // Masks are -1 where a limit is exceeded.
        ref int limit = ref Unsafe.Add(ref limits, code * Nvfp4Scales.Stride);
        TLanes low = TLanes.AddInt(TLanes.GreaterInt(magnitudes, TLanes.CreateInt(limit)), TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 1))));
        TLanes middle = TLanes.AddInt(TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 2))), TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 3))));
        TLanes high = TLanes.AddInt(TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 4))), TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 5))));
        TLanes count = TLanes.AddInt(TLanes.AddInt(low, middle), TLanes.AddInt(high, TLanes.GreaterInt(magnitudes, TLanes.CreateInt(Unsafe.Add(ref limit, 6)))));
        TLanes sign = TLanes.ShiftLeft(TLanes.ShiftRight(values, 31), 3);
        Vector128<ushort> pairs = TLanes.LowBytes(TLanes.SubtractInt(sign, count)).AsUInt16();
        return Vector128.Narrow((pairs | (pairs >>> 4)) & Vector128.Create((ushort)0xFF), Vector128<ushort>.Zero).AsUInt64().ToScalar();
    }
}
