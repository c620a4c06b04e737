using System.Buffers;
using System.Buffers.Binary;

namespace ModelPack.Codecs;

/// <summary>Wire id 12: records of scales and codes, field by field. See SPEC.md in this folder.</summary>
/// <param name="layout">The fields of the data to encode; decoding takes them from the data.</param>
public sealed class RecordsCodec(RecordLayout layout) : ICodec
{
    private const int FieldHeaderBytes = 4;

    private readonly int _recordBytes = layout.RecordBytes;

    /// <summary>One f16 scale and 32 codes of a byte: what is taken when nobody says what the records are.</summary>
    public static RecordLayout ScaleAnd32Codes { get; } = new([RecordField.Half, new RecordField(32)]);

    public string Id => "records";

    public byte WireId => 12;

    public string Summary => "records of scales and codes, such as GGUF blocks: equal fields put together, each byte plane canonical Huffman or raw";

    public bool TryEncode(ReadOnlySpan<byte> raw, DType elementType, Span<byte> destination, out int written)
    {
        written = 0;
        int recordBytes = _recordBytes;
        int count = raw.Length / recordBytes;
        int planes = 0;
        int widest = 0;
        foreach (RecordField field in layout.Fields)
        {
            planes += field.Width;
            widest = Math.Max(widest, field.LengthBytes);
        }

        int at = 1 + (layout.Fields.Length * FieldHeaderBytes) + (planes * PlaneSection.HeaderBytes);
        int tail = raw.Length - (count * recordBytes);
        if (count == 0 || destination.Length < at + tail)
        {
            return false;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent(2 * widest * count);
        try
        {
            destination[0] = (byte)layout.Fields.Length;
            Span<byte> headers = destination[(1 + (layout.Fields.Length * FieldHeaderBytes))..];
            int offset = 0;
            int index = 1;
            foreach (RecordField field in layout.Fields)
            {
                BinaryPrimitives.WriteUInt16LittleEndian(destination[index..], (ushort)field.LengthBytes);
                destination[index + 2] = (byte)field.Width;
                destination[index + 3] = (byte)field.Moved;
                index += FieldHeaderBytes;
                int bytes = field.LengthBytes * count;
                Span<byte> column = scratch.AsSpan(0, bytes);
                Span<byte> split = scratch.AsSpan(bytes, bytes);
                RecordKernel.Gather(raw, recordBytes, offset, field.LengthBytes, count, column);
                int elements = bytes / field.Width;
                PlaneKernel.Split(column, field.Width, new SignMove(8 * field.Width, field.Moved), elements, split);
                for (int p = field.Width - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
                {
                    if (!TryPut(split.Slice(p * elements, elements), headers, destination[..^tail], ref at))
                    {
                        return false;
                    }
                }

                offset += field.LengthBytes;
            }

            raw[^tail..].CopyTo(destination[at..]);
            written = at + tail;
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    public bool TryDecode(ReadOnlySpan<byte> encoded, DType elementType, Span<byte> raw)
    {
        Span<RecordField> fields = stackalloc RecordField[RecordLayout.MaxFields];
        if (!TryReadFields(encoded, ref fields, out int recordBytes, out int widest, out int planes))
        {
            return false;
        }

        int count = raw.Length / recordBytes;
        int tail = raw.Length - (count * recordBytes);
        int headersAt = 1 + (fields.Length * FieldHeaderBytes);
        int at = headersAt + (planes * PlaneSection.HeaderBytes);
        if (count == 0 || encoded.Length - tail < at)
        {
            return false;
        }

        // At most twice the decoded length.
        byte[] scratch = ArrayPool<byte>.Shared.Rent(2 * widest * count);
        try
        {
            ReadOnlySpan<byte> headers = encoded[headersAt..at];
            ReadOnlySpan<byte> body = encoded[at..^tail];
            int offset = 0;
            foreach (RecordField field in fields)
            {
                int bytes = field.LengthBytes * count;
                int elements = bytes / field.Width;
                Span<byte> column = scratch.AsSpan(0, bytes);
                Span<byte> split = field.Width == 1 ? column : scratch.AsSpan(bytes, bytes);
                for (int p = field.Width - 1; p >= 0; p--, headers = headers[PlaneSection.HeaderBytes..])
                {
                    if (!PlaneSection.TryRead(headers, ref body, split.Slice(p * elements, elements)))
                    {
                        return false;
                    }
                }

                if (field.Width > 1)
                {
                    PlaneKernel.Merge(split, field.Width, new SignMove(8 * field.Width, field.Moved), elements, column);
                }

                RecordKernel.Scatter(column, recordBytes, offset, field.LengthBytes, count, raw);
                offset += field.LengthBytes;
            }

            encoded[^tail..].CopyTo(raw[^tail..]);
            return body.IsEmpty;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private static bool TryReadFields(ReadOnlySpan<byte> encoded, ref Span<RecordField> fields, out int recordBytes, out int widest, out int planes)
    {
        (recordBytes, widest, planes) = (0, 0, 0);
        int count = encoded.IsEmpty ? 0 : encoded[0];
        if (count is 0 or > RecordLayout.MaxFields || encoded.Length < 1 + (count * FieldHeaderBytes))
        {
            return false;
        }

        fields = fields[..count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> header = encoded[(1 + (i * FieldHeaderBytes))..];
            var field = new RecordField(BinaryPrimitives.ReadUInt16LittleEndian(header), header[2], header[3]);
            if (field.Width is not (1 or 2 or 4 or 8) || field.LengthBytes == 0 || field.LengthBytes % field.Width != 0 || field.Moved >= 8 * field.Width || (field.Width == 1 && field.Moved != 0))
            {
                return false;
            }

            fields[i] = field;
            recordBytes += field.LengthBytes;
            widest = Math.Max(widest, field.LengthBytes);
            planes += field.Width;
        }

        return recordBytes <= RecordLayout.MaxBytes;
    }

    private static bool TryPut(ReadOnlySpan<byte> plane, Span<byte> header, Span<byte> destination, ref int at)
    {
        bool fits = PlaneSection.TryWrite(plane, plane.Length - (plane.Length / 64) - 1, probe: false, header, destination[at..], out int length);
        at += length;
        return fits;
    }
}
