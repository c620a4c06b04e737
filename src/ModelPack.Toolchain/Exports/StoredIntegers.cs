using System.Globalization;
using ModelPack.Numbers;

namespace ModelPack.Toolchain;

/// <summary>
/// The parts of a matrix [rows, columns] that is stored as <c>int2</c> to <c>int8</c>: codes, scales and zero points, value = (code - zero) · scale. What other tools' integer formats are made of.
/// </summary>
internal sealed class StoredIntegers
{
    private readonly int _blobBytes;
    private readonly int _scaleBytes;
    private readonly int _zeroRowBytes;

    private StoredIntegers(DenseEncoding encoding, int bits)
    {
        UnitSpec spec = NumberFormats.Bind(encoding.Format, encoding.Shape).Spec;
        Shape = encoding.Shape;
        Bits = bits;
        Columns = checked((int)encoding.Shape.Columns);
        WholeRows = spec.Text("block", "") == "row";
        Block = WholeRows ? Math.Max(1, Columns) : int.Parse(spec.Text("block", ""), CultureInfo.InvariantCulture);
        Blocks = (Columns + Block - 1) / Block;
        Symmetric = spec.Flag("symmetric", true);
        ScaleType = DTypes.TryParse(spec.Text("scale", ""), out DType scale) ? scale : DType.F32;
        Codes = encoding.Streams[0].Data;
        Scales = encoding.Streams[1].Data;
        Zeros = Symmetric ? TensorData.Empty : encoding.Streams[2].Data;
        _blobBytes = ((Block * bits) + 7) / 8;
        _scaleBytes = ScaleType.BitsPerElement() / 8;
        _zeroRowBytes = ((Blocks * bits) + 7) / 8;
    }

    public Shape Shape { get; }

    public int Bits { get; }

    public int Columns { get; }

    /// <summary>Values that share a scale.</summary>
    public int Block { get; }

    /// <summary>Blocks of a row; the last one may be shorter.</summary>
    public int Blocks { get; }

    /// <summary>One scale per row.</summary>
    public bool WholeRows { get; }

    /// <summary>The zero code is 2^(bits - 1) everywhere.</summary>
    public bool Symmetric { get; }

    public DType ScaleType { get; }

    /// <summary>Codes, lowest bits first; every block begins at a whole byte.</summary>
    public TensorData Codes { get; }

    /// <summary>Scales [rows, blocks].</summary>
    public TensorData Scales { get; }

    /// <summary>Zero codes; empty when symmetric.</summary>
    public TensorData Zeros { get; }

    /// <summary>The parts of an encoding; null when it is no such format, or zero points are not codes, or codes lie in planes.</summary>
    public static StoredIntegers? Of(WeightEncoding encoding) =>
        encoding is DenseEncoding { IsPending: false } dense && dense.Shape.Rank >= 1 && dense.Format.Id is ['i', 'n', 't', >= '2' and <= '8'] && dense.Format.Text("zeros", "int") == "int" && dense.Format.Text("layout", "packed") == "packed"
            ? new StoredIntegers(dense, dense.Format.Id[3] - '0')
            : null;

    /// <summary>The scales of a row.</summary>
    /// <param name="row">Its index.</param>
    /// <param name="scales">Destination [blocks].</param>
    public void ReadScales(long row, Span<float> scales)
    {
        Span<byte> bytes = new byte[Blocks * _scaleBytes];
        Scales.Read(row * bytes.Length, bytes);
        for (int b = 0; b < Blocks; b++)
        {
            scales[b] = ScaleType switch
            {
                DType.F32 => BitConverter.ToSingle(bytes[(b * 4)..]),
                DType.F16 => (float)BitConverter.ToHalf(bytes[(b * 2)..]),
                _ => BitConverter.UInt32BitsToSingle((uint)BitConverter.ToUInt16(bytes[(b * 2)..]) << 16),
            };
        }
    }

    /// <summary>The zero codes of a row.</summary>
    /// <param name="row">Its index.</param>
    /// <param name="zeros">Destination [blocks].</param>
    public void ReadZeros(long row, Span<byte> zeros)
    {
        if (Symmetric)
        {
            zeros[..Blocks].Fill((byte)(1 << (Bits - 1)));
            return;
        }

        byte[] bytes = new byte[_zeroRowBytes];
        Zeros.Read(row * bytes.Length, bytes);
        Unpack(bytes, zeros[..Blocks]);
    }

    /// <summary>The codes of a row.</summary>
    /// <param name="row">Its index.</param>
    /// <param name="codes">Destination [columns], a code per byte.</param>
    public void ReadCodes(long row, Span<byte> codes)
    {
        byte[] bytes = new byte[Blocks * _blobBytes];
        Codes.Read(row * bytes.Length, bytes);
        for (int b = 0; b < Blocks; b++)
        {
            Unpack(bytes.AsSpan(b * _blobBytes, _blobBytes), codes.Slice(b * Block, Math.Min(Block, Columns - (b * Block))));
        }
    }

    private void Unpack(ReadOnlySpan<byte> packed, Span<byte> codes)
    {
        int mask = (1 << Bits) - 1;
        for (int i = 0; i < codes.Length; i++)
        {
            int bit = i * Bits;
            int word = packed[bit >> 3] | ((bit >> 3) + 1 < packed.Length ? packed[(bit >> 3) + 1] << 8 : 0);
            codes[i] = (byte)((word >> (bit & 7)) & mask);
        }
    }
}
