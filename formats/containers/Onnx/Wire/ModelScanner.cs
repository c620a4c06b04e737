using System.Text.Unicode;

namespace ModelPack.Containers.Onnx;

/// <summary>
/// First stage of reading: copies the wire form of a model to memory without the elements of its tensors. In their place each TensorProto gets
/// <c>modelpack_ranges</c> entries that say where in the source they lie. Checks everything that the framing could get wrong.
/// </summary>
/// <remarks>
/// Merging is left to protobuf: a message that comes in several parts is copied in several parts, so the second stage sees the
/// ranges of all parts in order.
/// </remarks>
internal sealed class ModelScanner
{
    /// <summary>Deepest nesting of messages and groups; the limit that protobuf's own readers have.</summary>
    public const int MaxDepth = 100;

    /// <summary>Most messages in a model. The largest published graphs have some hundred thousand.</summary>
    private const int DefaultMaxMessages = 8_000_000;

    private readonly WireReader _reader;
    private readonly WireBuffer _slim = new();
    private readonly int _maxMessages;
    private readonly CancellationToken _cancellation;
    private int _messages;

    private ModelScanner(WireReader reader, int maxMessages, CancellationToken cancellation)
    {
        _reader = reader;
        _maxMessages = maxMessages;
        _cancellation = cancellation;
    }

    /// <summary>Scans a serialised ModelProto.</summary>
    /// <returns>A serialised ModelProto without tensor elements; offsets are positions in <paramref name="source"/>.</returns>
    /// <exception cref="ModelPackException">MP1200-1205.</exception>
    public static ReadOnlyMemory<byte> Scan(TensorData source, string? path, CancellationToken cancellation, int maxMessages = DefaultMaxMessages)
    {
        using var reader = new WireReader(source, path);
        var scanner = new ModelScanner(reader, maxMessages, cancellation);
        scanner.Message(MessageKind.Model, source.LengthBytes, 0);
        return scanner._slim.Written;
    }

    private void Message(MessageKind kind, long end, int depth)
    {
        if (depth > MaxDepth)
        {
            throw _reader.Error(ErrorCodes.OnnxTooDeep, $"more than {MaxDepth} nested messages");
        }

        if (++_messages > _maxMessages)
        {
            throw _reader.Error(ErrorCodes.OnnxTooLarge, $"more than {_maxMessages} messages");
        }

        if ((_messages & 0xFFF) == 0)
        {
            _cancellation.ThrowIfCancellationRequested();
        }

        var run = default(DataRun);
        while (_reader.Position < end)
        {
            long start = _reader.Position;
            (int field, WireType type) = _reader.ReadTag(end);
            (FieldRole role, MessageKind child) = OnnxSchema.Lookup(kind, field);
            if (role == FieldRole.Data && type != WireType.LengthDelimited)
            {
                role = type == OnnxSchema.ElementWireType(field) ? FieldRole.Data : FieldRole.Copy;
            }
            else if (role is FieldRole.Text or FieldRole.Message && type != WireType.LengthDelimited)
            {
                role = FieldRole.Copy;
            }

            switch (role)
            {
                case FieldRole.Message:
                    Nested(child, field, end, depth);
                    break;
                case FieldRole.Text:
                    Text(field, end);
                    break;
                case FieldRole.Data:
                    Data(ref run, field, type, start, end);
                    break;
                case FieldRole.Reserved:
                    throw _reader.Error(ErrorCodes.OnnxReservedField, $"field {field} of a tensor");
                default:
                    Copy(field, type, end, depth);
                    break;
            }
        }

        Flush(ref run);
    }

    private void Nested(MessageKind child, int field, long end, int depth)
    {
        long length = _reader.ReadLength(end);
        Tag(field, WireType.LengthDelimited);
        if (!_slim.TryOpen(out int mark))
        {
            throw Full();
        }

        Message(child, _reader.Position + length, depth + 1);
        _slim.Close(mark);
    }

    private void Text(int field, long end)
    {
        long length = _reader.ReadLength(end);
        long start = _reader.Position;
        Tag(field, WireType.LengthDelimited);
        Varint((ulong)length);
        Span<byte> text = Reserve(length);
        _reader.Read(text, end);
        if (!Utf8.IsValid(text))
        {
            _reader.Position = start;
            throw _reader.Error(ErrorCodes.OnnxText, $"text field {field} of {length} bytes is not UTF-8");
        }
    }

    /// <summary>Records data; elements that follow each other with the same tag become one range.</summary>
    private void Data(ref DataRun run, int field, WireType type, long start, long end)
    {
        if (type == WireType.LengthDelimited && field != OnnxSchema.StringData)
        {
            Flush(ref run);
            long length = _reader.ReadLength(end);
            Range(field, packed: true, _reader.Position, length);
            _reader.Skip(length, end);
            return;
        }

        if (run.Field != field || run.End != start)
        {
            Flush(ref run);
            run = new DataRun(field, start, start);
        }

        SkipValue(type, end);
        run = run with { End = _reader.Position };
    }

    private void SkipValue(WireType type, long end)
    {
        switch (type)
        {
            case WireType.Varint:
                _reader.ReadVarint(end);
                break;
            case WireType.Fixed32:
                _reader.Skip(4, end);
                break;
            case WireType.Fixed64:
                _reader.Skip(8, end);
                break;
            default:
                long length = _reader.ReadLength(end);
                _reader.Skip(length, end);
                break;
        }
    }

    private void Flush(ref DataRun run)
    {
        if (run.Field != 0)
        {
            Range(run.Field, packed: false, run.Start, run.End - run.Start);
            run = default;
        }
    }

    /// <summary>Appends one DataRange message.</summary>
    private void Range(int field, bool packed, long offset, long length)
    {
        if (++_messages > _maxMessages)
        {
            throw _reader.Error(ErrorCodes.OnnxTooLarge, "tensor data is in too many pieces");
        }

        Tag(OnnxSchema.RangesField, WireType.LengthDelimited);
        if (!_slim.TryOpen(out int mark))
        {
            throw Full();
        }

        Tag(1, WireType.Varint);
        Varint((ulong)field);
        Tag(2, WireType.Varint);
        Varint(packed ? 1u : 0u);
        Tag(3, WireType.Varint);
        Varint((ulong)offset);
        Tag(4, WireType.Varint);
        Varint((ulong)length);
        _slim.Close(mark);
    }

    private void Copy(int field, WireType type, long end, int depth)
    {
        Tag(field, type);
        switch (type)
        {
            case WireType.Varint:
                Varint(_reader.ReadVarint(end));
                break;
            case WireType.Fixed32:
                _reader.Read(Reserve(4), end);
                break;
            case WireType.Fixed64:
                _reader.Read(Reserve(8), end);
                break;
            case WireType.LengthDelimited:
                long length = _reader.ReadLength(end);
                Varint((ulong)length);
                _reader.Read(Reserve(length), end);
                break;
            case WireType.StartGroup:
                Group(field, end, depth + 1);
                break;
            default:
                throw _reader.Error(ErrorCodes.OnnxWireFormat, $"group {field} ends but never began");
        }
    }

    private void Group(int group, long end, int depth)
    {
        if (depth > MaxDepth)
        {
            throw _reader.Error(ErrorCodes.OnnxTooDeep, $"more than {MaxDepth} nested messages");
        }

        while (true)
        {
            (int field, WireType type) = _reader.ReadTag(end);
            if (type == WireType.EndGroup)
            {
                if (field != group)
                {
                    throw _reader.Error(ErrorCodes.OnnxWireFormat, $"group {group} ends as group {field}");
                }

                Tag(field, type);
                return;
            }

            Copy(field, type, end, depth);
        }
    }

    private void Tag(int field, WireType type) => Varint(WireSize.Tag(field, type));

    private void Varint(ulong value)
    {
        if (!_slim.TryVarint(value))
        {
            throw Full();
        }
    }

    private Span<byte> Reserve(long bytes) => _slim.TryReserve(bytes, out Span<byte> span) ? span : throw Full();

    private ModelPackException Full() => _reader.Error(ErrorCodes.OnnxTooLarge, $"the structure without weights exceeds {WireBuffer.LimitBytes} bytes");

    /// <summary>Elements with tags that follow each other.</summary>
    private readonly record struct DataRun(int Field, long Start, long End);
}
