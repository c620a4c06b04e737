using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>
/// Wire id 2: byte planes of fixed-width elements, each plane constant, Zstandard or raw. See SPEC.md in this folder.
/// </summary>
/// <param name="level">Zstandard compression level of the encoder; the decoder does not care.</param>
internal sealed class PlanesZstdCodec(int level) : ICodec
{
    private const int PlaneHeaderBytes = 5;
    private const byte RotateFlag = 0x10;
    private const byte ModeRaw = 0;
    private const byte ModeZstd = 1;
    private const byte ModeConstant = 2;
    private const int ProbeBytes = 16 << 10;

    [ThreadStatic]
    private static byte[]? s_scratch;

    public string Id => "planes-zstd";

    public byte WireId => 2;

    public string Summary => "byte planes of 2, 4 or 8-byte elements, the exponent in a plane of its own, each plane Zstandard or raw";

    public bool NeedsCheckedInput => true;

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        (int width, bool rotate) = Layout(elementType);
        int elements = raw.Length / Math.Max(width, 1);
        int at = 1 + (width * PlaneHeaderBytes);
        int tail = raw.Length - (elements * width);
        if (width == 0 || elements == 0 || destination.Length < at + tail)
        {
            return false;
        }

        int body = elements * width;
        Span<byte> scratch = Scratch(body + ProbeBytes);
        Span<byte> planes = scratch[..body];
        PlaneKernel.Split(raw[..body], width, Move(width, rotate), elements, planes);
        destination[0] = (byte)(width | (rotate ? RotateFlag : 0));
        for (int p = width - 1; p >= 0; p--)
        {
            ReadOnlySpan<byte> plane = planes.Slice(p * elements, elements);
            if (!TryEncodePlane(plane, destination[at..^tail], scratch[body..], out byte mode, out int length))
            {
                return false;
            }

            Span<byte> header = destination[(1 + ((width - 1 - p) * PlaneHeaderBytes))..];
            header[0] = mode;
            BinaryPrimitives.WriteInt32LittleEndian(header[1..], length);
            at += length;
        }

        raw[body..].CopyTo(destination[at..]);
        written = at + tail;
        return true;
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        int width = encoded.IsEmpty ? 0 : encoded[0] & 0x0f;
        bool rotate = !encoded.IsEmpty && (encoded[0] & RotateFlag) != 0;
        if (width is not (2 or 4 or 8) || (encoded[0] & 0xe0) != 0)
        {
            return false;
        }

        int elements = raw.Length / width;
        int body = elements * width;
        int at = 1 + (width * PlaneHeaderBytes);
        int tail = raw.Length - body;
        if (elements == 0 || encoded.Length < at + tail)
        {
            return false;
        }

        Span<byte> scratch = Scratch(body);
        for (int p = width - 1; p >= 0; p--)
        {
            ReadOnlySpan<byte> header = encoded.Slice(1 + ((width - 1 - p) * PlaneHeaderBytes), PlaneHeaderBytes);
            int length = BinaryPrimitives.ReadInt32LittleEndian(header[1..]);
            if (length <= 0 || length > encoded.Length - tail - at)
            {
                return false;
            }

            if (!TryDecodePlane(header[0], encoded.Slice(at, length), scratch.Slice(p * elements, elements)))
            {
                return false;
            }

            at += length;
        }

        if (at + tail != encoded.Length)
        {
            return false;
        }

        PlaneKernel.Merge(scratch, width, Move(width, rotate), elements, raw[..body]);
        encoded[at..].CopyTo(raw[body..]);
        return true;
    }

    /// <summary>Rotating the whole word is moving its sign below everything else.</summary>
    private static SignMove Move(int width, bool rotate) => new(8 * width, rotate ? (8 * width) - 1 : 0);

    private static (int Width, bool Rotate) Layout(DType elementType) => elementType switch
    {
        DType.BF16 => (2, true),
        DType.F32 or DType.C64 => (4, true),
        DType.F64 or DType.C128 => (8, true),
        DType.F16 or DType.I16 or DType.U16 => (2, false),
        DType.I32 or DType.U32 => (4, false),
        DType.I64 or DType.U64 => (8, false),
        _ => (0, false),
    };

    private static bool TryDecodePlane(byte mode, ReadOnlySpan<byte> stored, Span<byte> plane)
    {
        switch (mode)
        {
            case ModeRaw when stored.Length == plane.Length:
                stored.CopyTo(plane);
                return true;
            case ModeConstant when stored.Length == 1:
                plane.Fill(stored[0]);
                return true;
            case ModeZstd:
                return ZstdContext.Current.TryDecode(stored, plane);
            default:
                return false;
        }
    }

    private static Span<byte> Scratch(int bytes)
    {
        if (s_scratch is null || s_scratch.Length < bytes)
        {
            s_scratch = GC.AllocateUninitializedArray<byte>(bytes);
        }

        return s_scratch.AsSpan(0, bytes);
    }

    private bool TryEncodePlane(ReadOnlySpan<byte> plane, Span<byte> destination, Span<byte> probe, out byte mode, out int length)
    {
        mode = ModeConstant;
        length = 1;
        if (plane.IndexOfAnyExcept(plane[0]) < 0)
        {
            if (destination.IsEmpty)
            {
                return false;
            }

            destination[0] = plane[0];
            return true;
        }

        // A plane of mantissa bits does not shrink: 16 KiB from its middle tell, for a fraction of the time.
        bool worth = plane.Length <= 4 * ProbeBytes
            || ZstdContext.Current.TryEncode(plane.Slice((plane.Length - ProbeBytes) / 2, ProbeBytes), level, probe[..(ProbeBytes - (ProbeBytes / 64))], out _);
        int room = Math.Min(destination.Length, plane.Length - 1);
        if (worth && room > 0 && ZstdContext.Current.TryEncode(plane, level, destination[..room], out length) && length <= plane.Length - (plane.Length / 64))
        {
            mode = ModeZstd;
            return true;
        }

        mode = ModeRaw;
        length = plane.Length;
        return plane.TryCopyTo(destination);
    }
}
