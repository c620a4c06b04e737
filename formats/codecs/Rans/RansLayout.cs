using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>
/// How an element is cut: its sign moves down, or a byte is mapped to zig-zag around a centre; then the upper bits are the symbol of the rANS block and the lower bits planes. See SPEC.md in this folder.
/// </summary>
internal readonly record struct RansLayout
{
    /// <summary>Bytes of the header of a chunk before the headers of its planes.</summary>
    public const int HeaderBytes = 14;

    /// <summary>Bytes of an outlier: position and upper bits.</summary>
    public const int OutlierBytes = 6;

    /// <summary>Mode of a last plane that is stored as it is, without its last bytes: the states carry them.</summary>
    public const byte CarriedTail = 3;

    private const byte ZigZagMark = 0x80;

    /// <summary>Bytes of an element; 0 for two elements in a byte, the first in its lower half.</summary>
    public required int Width { get; init; }

    /// <summary>By how many bits the sign moves down.</summary>
    public int Moved { get; init; }

    /// <summary>Bytes are mapped to 2 d or -2 d - 1, d the distance from <see cref="Center"/>.</summary>
    public bool ZigZag { get; init; }

    public byte Center { get; init; }

    /// <summary>Bits below the symbol.</summary>
    public int RestBits { get; init; }

    /// <summary>What is subtracted from the upper bits if there are more than 8.</summary>
    public int Base { get; init; }

    /// <summary>Bits of an element that make the symbol.</summary>
    public int TopBits => Width == 0 ? 4 : (8 * Width) - RestBits;

    /// <summary>Bits of the plane that is not of whole bytes; 0 if there is none.</summary>
    public int PackedBits => RestBits & 7;

    /// <summary>Planes of whole bytes.</summary>
    public int BytePlanes => RestBits / 8;

    public int Planes => BytePlanes + (PackedBits > 0 ? 1 : 0);

    /// <summary>Whole elements of a chunk.</summary>
    public int Elements(int bytes) => Width == 0 ? 2 * bytes : bytes / Width;

    public void Write(Span<byte> header, int outliers, int blockLength)
    {
        header[0] = (byte)Width;
        header[1] = (byte)(ZigZag ? ZigZagMark : Moved);
        header[2] = (byte)RestBits;
        header[3] = Center;
        BinaryPrimitives.WriteUInt16LittleEndian(header[4..], (ushort)Base);
        BinaryPrimitives.WriteInt32LittleEndian(header[6..], outliers);
        BinaryPrimitives.WriteInt32LittleEndian(header[10..], blockLength);
    }

    public static bool TryRead(ReadOnlySpan<byte> header, out RansLayout layout, out int outliers, out int blockLength)
    {
        (layout, outliers, blockLength) = (default, 0, 0);
        if (header.Length < HeaderBytes)
        {
            return false;
        }

        bool zigZag = header[1] == ZigZagMark;
        layout = new RansLayout
        {
            Width = header[0],
            Moved = zigZag ? 0 : header[1],
            ZigZag = zigZag,
            RestBits = header[2],
            Center = header[3],
            Base = BinaryPrimitives.ReadUInt16LittleEndian(header[4..]),
        };
        outliers = BinaryPrimitives.ReadInt32LittleEndian(header[6..]);
        blockLength = BinaryPrimitives.ReadInt32LittleEndian(header[10..]);
        return blockLength > 0 && outliers >= 0 && layout.IsValid(outliers);
    }

    private bool IsValid(int outliers) => Width switch
    {
        0 => !ZigZag && Moved == 0 && RestBits == 0 && Center == 0 && Base == 0 && outliers == 0,
        1 or 2 or 4 or 8 => (!ZigZag || Width == 1) && (ZigZag || Center == 0) && Moved < 8 * Width && TopBits is >= 1 and <= 16
            && (TopBits <= 8 ? Base == 0 && outliers == 0 : Base < 1 << TopBits),
        _ => false,
    };
}
