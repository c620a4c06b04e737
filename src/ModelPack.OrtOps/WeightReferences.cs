using System.Buffers.Binary;

namespace ModelPack.OrtOps;

/// <summary>
/// Weights of this process that operators read where they are. In place of the bytes their constant holds a number that is known here, so that ONNX Runtime, which would copy the bytes, has nothing to copy: "MPKR", version 1 (u32),
/// the number (u64), little-endian. Only what was added is found: no graph can name memory.
/// </summary>
public static unsafe class WeightReferences
{
    /// <summary>Length of a constant that refers to a weight. None in execution layout is as short.</summary>
    public const int LengthBytes = 16;

    private const uint Version = 1;

    private static readonly Dictionary<long, Weight> s_weights = [];

    private static long s_last;

    private static ReadOnlySpan<byte> Magic => "MPKR"u8;

    /// <summary>Makes a weight known.</summary>
    /// <param name="address">Its bytes in execution layout, at a multiple of 64; they must stay until all sessions that use the number are gone.</param>
    /// <param name="lengthBytes">Their length.</param>
    /// <returns>Its number, for <see cref="Write"/> and <see cref="Remove"/>.</returns>
    public static long Add(nint address, long lengthBytes)
    {
        long number = Interlocked.Increment(ref s_last);
        lock (s_weights)
        {
            s_weights.Add(number, new Weight(address, lengthBytes));
        }

        return number;
    }

    /// <summary>Forgets a weight; nothing happens when it is not known.</summary>
    public static void Remove(long number)
    {
        lock (s_weights)
        {
            s_weights.Remove(number);
        }
    }

    /// <summary>Writes the constant.</summary>
    /// <param name="number">Number of a weight.</param>
    /// <param name="to"><see cref="LengthBytes"/> bytes.</param>
    public static void Write(long number, Span<byte> to)
    {
        Magic.CopyTo(to);
        BinaryPrimitives.WriteUInt32LittleEndian(to[4..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(to[8..], number);
    }

    /// <summary>The weight that a constant refers to; the constant itself when it holds the bytes.</summary>
    internal static PackedInput Resolve(PackedInput constant)
    {
        var bytes = new ReadOnlySpan<byte>(constant.Data, (int)Math.Min(constant.LengthBytes, LengthBytes));
        return constant.LengthBytes == LengthBytes && bytes[..4].SequenceEqual(Magic) && BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) == Version
            && Find(BinaryPrimitives.ReadInt64LittleEndian(bytes[8..])) is Weight weight
            ? new PackedInput((byte*)weight.Address, weight.LengthBytes)
            : constant;
    }

    private static Weight? Find(long number)
    {
        lock (s_weights)
        {
            return s_weights.GetValueOrDefault(number);
        }
    }

    /// <summary>A class, because code of dictionaries for it need not be compiled at run time.</summary>
    private sealed record Weight(nint Address, long LengthBytes);
}
