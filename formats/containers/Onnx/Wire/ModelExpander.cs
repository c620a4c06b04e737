using System.Buffers;
using System.Buffers.Binary;

namespace ModelPack.Containers.Onnx;

/// <summary>
/// Last stage of writing, the reverse of <see cref="ModelScanner"/>: takes a serialised ModelProto whose tensors hold <c>modelpack_ranges</c>
/// entries (field and index of the data) and streams it with the data in their place. No message is ever held whole.
/// </summary>
internal sealed class ModelExpander
{
    private const int CopyBytes = 1 << 20;

    private readonly IReadOnlyList<TensorData> _data;
    private readonly List<long> _sizes = [];
    private int _nextSize;

    private ModelExpander(IReadOnlyList<TensorData> data) => _data = data;

    /// <summary>Size of the expanded message in bytes.</summary>
    public static long Measure(ReadOnlySpan<byte> slim, IReadOnlyList<TensorData> data) => new ModelExpander(data).Measure(MessageKind.Model, slim);

    /// <summary>Writes the expanded message.</summary>
    public static void Write(ReadOnlySpan<byte> slim, IReadOnlyList<TensorData> data, Stream output, CancellationToken cancellation)
    {
        var expander = new ModelExpander(data);
        expander.Measure(MessageKind.Model, slim);
        expander.Emit(MessageKind.Model, slim, output, cancellation);
    }

    /// <summary>Writes all bytes of <paramref name="data"/>.</summary>
    public static void CopyTo(TensorData data, Stream output, CancellationToken cancellation)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(CopyBytes, Math.Max(1, data.LengthBytes)));
        try
        {
            for (long done = 0; done < data.LengthBytes;)
            {
                cancellation.ThrowIfCancellationRequested();
                int n = (int)Math.Min(buffer.Length, data.LengthBytes - done);
                data.Read(done, buffer.AsSpan(0, n));
                output.Write(buffer, 0, n);
                done += n;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool HoldsTensors(MessageKind kind) => kind is MessageKind.Graph or MessageKind.Node or MessageKind.Attribute
        or MessageKind.Tensor or MessageKind.SparseTensor or MessageKind.Function or MessageKind.TrainingInfo;

    /// <summary>Expanded size; sizes of nested messages are remembered in the order in which <see cref="Emit"/> meets them.</summary>
    private long Measure(MessageKind kind, ReadOnlySpan<byte> message)
    {
        long size = 0;
        var fields = new SlimFields(message);
        while (fields.Next())
        {
            (FieldRole role, MessageKind child) = fields.IsBytes ? OnnxSchema.Lookup(kind, fields.Field) : default;
            if (role == FieldRole.Message && HoldsTensors(child))
            {
                int slot = _sizes.Count;
                _sizes.Add(0);
                long inner = Measure(child, fields.Payload);
                _sizes[slot] = inner;
                size += WireSize.Varint(WireSize.Tag(fields.Field, WireType.LengthDelimited)) + WireSize.Varint((ulong)inner) + inner;
            }
            else if (role == FieldRole.Reserved)
            {
                (int field, TensorData data) = Slot(fields.Payload);
                size += field == OnnxSchema.StringData ? StringsSize(data) : 1 + WireSize.Varint((ulong)data.LengthBytes) + data.LengthBytes;
            }
            else
            {
                size += fields.Whole.Length;
            }
        }

        return size;
    }

    private void Emit(MessageKind kind, ReadOnlySpan<byte> message, Stream output, CancellationToken cancellation)
    {
        var fields = new SlimFields(message);
        while (fields.Next())
        {
            (FieldRole role, MessageKind child) = fields.IsBytes ? OnnxSchema.Lookup(kind, fields.Field) : default;
            if (role == FieldRole.Message && HoldsTensors(child))
            {
                WriteHeader(output, fields.Field, _sizes[_nextSize++]);
                Emit(child, fields.Payload, output, cancellation);
            }
            else if (role == FieldRole.Reserved)
            {
                (int field, TensorData data) = Slot(fields.Payload);
                if (field == OnnxSchema.StringData)
                {
                    WriteStrings(data, output);
                }
                else
                {
                    WriteHeader(output, field, data.LengthBytes);
                    CopyTo(data, output, cancellation);
                }
            }
            else
            {
                output.Write(fields.Whole);
            }
        }
    }

    private static void WriteHeader(Stream output, int field, long length)
    {
        Span<byte> header = stackalloc byte[20];
        int n = WireSize.WriteVarint(header, WireSize.Tag(field, WireType.LengthDelimited));
        n += WireSize.WriteVarint(header[n..], (ulong)length);
        output.Write(header[..n]);
    }

    private (int Field, TensorData Data) Slot(ReadOnlySpan<byte> range)
    {
        Schema.TensorProto.Types.DataRange slot = Schema.TensorProto.Types.DataRange.Parser.ParseFrom(range);
        return (slot.Field, _data[(int)slot.Offset]);
    }

    private static long StringsSize(TensorData data)
    {
        long size = 0;
        Span<byte> prefix = stackalloc byte[4];
        for (long at = 0; at < data.LengthBytes;)
        {
            data.Read(at, prefix);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(prefix);
            size += 1 + WireSize.Varint(length) + length;
            at += 4 + (long)length;
        }

        return size;
    }

    private static void WriteStrings(TensorData data, Stream output)
    {
        Span<byte> prefix = stackalloc byte[4];
        for (long at = 0; at < data.LengthBytes;)
        {
            data.Read(at, prefix);
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(prefix);
            WriteHeader(output, OnnxSchema.StringData, length);
            CopyTo(data.Slice(at + 4, length), output, CancellationToken.None);
            at += 4 + (long)length;
        }
    }

    /// <summary>The top-level fields of a message that our own serialiser wrote.</summary>
    private ref struct SlimFields(ReadOnlySpan<byte> message)
    {
        private readonly ReadOnlySpan<byte> _message = message;
        private int _at;

        public int Field { get; private set; }

        public bool IsBytes { get; private set; }

        public ReadOnlySpan<byte> Payload { get; private set; }

        /// <summary>Tag, length and payload.</summary>
        public ReadOnlySpan<byte> Whole { get; private set; }

        public bool Next()
        {
            if (_at == _message.Length)
            {
                return false;
            }

            int start = _at;
            ulong tag = Varint();
            Field = (int)(tag >> 3);
            var type = (WireType)(tag & 7);
            IsBytes = type == WireType.LengthDelimited;
            if (IsBytes)
            {
                int length = (int)Varint();
                Payload = _message.Slice(_at, length);
                _at += length;
            }
            else
            {
                SkipScalar(type, Field);
            }

            Whole = _message[start.._at];
            return true;
        }

        private void SkipScalar(WireType type, int field)
        {
            switch (type)
            {
                case WireType.Varint:
                    Varint();
                    break;
                case WireType.Fixed64:
                    _at += 8;
                    break;
                case WireType.Fixed32:
                    _at += 4;
                    break;
                default:
                    SkipGroup(field);
                    break;
            }
        }

        private void SkipGroup(int group)
        {
            while (true)
            {
                ulong tag = Varint();
                int field = (int)(tag >> 3);
                var type = (WireType)(tag & 7);
                if (type == WireType.EndGroup && field == group)
                {
                    return;
                }

                if (type == WireType.LengthDelimited)
                {
                    int length = (int)Varint();
                    _at += length;
                }
                else
                {
                    SkipScalar(type, field);
                }
            }
        }

        private ulong Varint()
        {
            ulong value = 0;
            for (int shift = 0; ; shift += 7)
            {
                byte b = _message[_at++];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80)
                {
                    return value;
                }
            }
        }
    }
}
