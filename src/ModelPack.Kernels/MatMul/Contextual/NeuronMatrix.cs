using System.Buffers.Binary;

namespace ModelPack.Kernels.MatMul;

/// <summary>
/// A matrix row by row in f32 or bf16, a row being what belongs to one neuron, so that rows can be left out at run time; with a header, as an operator is given it: "MPKN", version 1, rows, columns, bits of a value (u32
/// little-endian each), zeros up to <see cref="HeaderBytes"/>, then the values.
/// </summary>
/// <param name="Rows">Neurons.</param>
/// <param name="Columns">Values of each.</param>
/// <param name="IsNarrow">True for bf16, false for f32.</param>
public readonly record struct NeuronMatrix(int Rows, int Columns, bool IsNarrow)
{
    /// <summary>Where the values begin.</summary>
    public const int HeaderBytes = 64;

    private const uint Version = 1;

    private static ReadOnlySpan<byte> Magic => "MPKN"u8;

    /// <summary>Bytes of a value.</summary>
    public int Width => IsNarrow ? sizeof(ushort) : sizeof(float);

    /// <summary>Bytes of everything.</summary>
    public long Bytes => HeaderBytes + ((long)Rows * Columns * Width);

    /// <summary>A matrix in a number format; null where no kernel reads it.</summary>
    /// <param name="format">The format.</param>
    /// <param name="rows">Neurons.</param>
    /// <param name="columns">Values of each.</param>
    public static NeuronMatrix? TryCreate(UnitSpec format, long rows, long columns) =>
        format.ToString() is "f32" or "bf16" && rows is > 0 and <= int.MaxValue && columns is > 0 and <= int.MaxValue ? new NeuronMatrix((int)rows, (int)columns, format.Id == "bf16") : null;

    /// <summary>Writes the header.</summary>
    /// <param name="header"><see cref="HeaderBytes"/> bytes.</param>
    public void WriteHeader(Span<byte> header)
    {
        header[..HeaderBytes].Clear();
        Magic.CopyTo(header);
        ReadOnlySpan<uint> numbers = [Version, (uint)Rows, (uint)Columns, 8 * (uint)Width];
        for (int i = 0; i < numbers.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(header[(4 + (4 * i))..], numbers[i]);
        }
    }

    /// <summary>Reads the header; null unless it is one and the tensor is as long as it says.</summary>
    /// <param name="data">Start of the tensor.</param>
    /// <param name="lengthBytes">Its length.</param>
    public static unsafe NeuronMatrix? Read(byte* data, long lengthBytes)
    {
        if (lengthBytes < HeaderBytes)
        {
            return null;
        }

        var header = new ReadOnlySpan<byte>(data, HeaderBytes);
        uint rows = BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        uint columns = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        uint bits = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
        bool known = header[..4].SequenceEqual(Magic) && BinaryPrimitives.ReadUInt32LittleEndian(header[4..]) == Version && bits is 16 or 32 && rows - 1 < int.MaxValue && columns - 1 < int.MaxValue;
        return known && new NeuronMatrix((int)rows, (int)columns, bits == 16) is var matrix && matrix.Bytes == lengthBytes ? matrix : null;
    }
}
