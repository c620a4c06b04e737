using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace ModelPack.Codecs;

/// <summary>Moves one field of all records to a column and back. Nothing here allocates or fails; lengths are checked by the caller.</summary>
internal static class RecordKernel
{
    /// <summary>Gathers a field: column byte i · length + k is byte k of the field in record i.</summary>
    public static void Gather(ReadOnlySpan<byte> records, int recordBytes, int offset, int length, int count, Span<byte> column)
    {
        for (int i = 0; i < count; i++)
        {
            records.Slice((i * recordBytes) + offset, length).CopyTo(column[(i * length)..]);
        }
    }

    /// <summary>The inverse of <see cref="Gather"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scatter(ReadOnlySpan<byte> column, int recordBytes, int offset, int length, int count, Span<byte> records)
    {
        ref byte source = ref MemoryMarshal.GetReference(column);
        ref byte target = ref Unsafe.Add(ref MemoryMarshal.GetReference(records), offset);
        if (length == 2)
        {
            for (nint i = 0; i < count; i++)
            {
                Unsafe.WriteUnaligned(ref Unsafe.Add(ref target, i * recordBytes), Unsafe.ReadUnaligned<ushort>(ref Unsafe.Add(ref source, i * 2)));
            }
        }
        else if (length % Vector128<byte>.Count == 0)
        {
            // Codes: 16 bytes at a time, without a call per record.
            for (nint i = 0; i < count; i++)
            {
                ref byte to = ref Unsafe.Add(ref target, i * recordBytes);
                ref byte from = ref Unsafe.Add(ref source, i * length);
                for (nuint k = 0; k < (nuint)length; k += (nuint)Vector128<byte>.Count)
                {
                    Vector128.LoadUnsafe(ref from, k).StoreUnsafe(ref to, k);
                }
            }
        }
        else
        {
            for (int i = 0; i < count; i++)
            {
                column.Slice(i * length, length).CopyTo(records[((i * recordBytes) + offset)..]);
            }
        }
    }
}
