namespace ModelPack.Runtime.Graphs;

/// <summary>Steps through the fields of one protobuf message; any malformed byte is an error of the artifact's graph.</summary>
internal ref struct ProtoSpan(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private int _position;

    /// <summary>Number of the current field.</summary>
    public int Field { get; private set; }

    /// <summary>Payload of the current field when it is length-delimited, else empty.</summary>
    public ReadOnlySpan<byte> Payload { get; private set; }

    /// <summary>Value of the current field when it is a varint, else 0.</summary>
    public ulong Value { get; private set; }

    /// <summary>True when the current field is length-delimited.</summary>
    public bool IsBytes { get; private set; }

    /// <summary>The current field as it stands in the message, tag included.</summary>
    public ReadOnlySpan<byte> Whole { get; private set; }

    /// <summary>Moves to the next field.</summary>
    /// <returns>False at the end.</returns>
    /// <exception cref="ModelPackException">MP5003: malformed.</exception>
    public bool Next()
    {
        if (_position == _bytes.Length)
        {
            return false;
        }

        int start = _position;
        ulong tag = Varint();
        Field = (int)(tag >> 3);
        IsBytes = false;
        Payload = default;
        Value = 0;
        switch (tag & 7)
        {
            case 0:
                Value = Varint();
                break;
            case 1:
                Skip(8);
                break;
            case 2:
                Payload = Skip(Varint());
                IsBytes = true;
                break;
            case 5:
                Skip(4);
                break;
            default:
                throw Malformed();
        }

        Whole = _bytes[start.._position];
        return true;
    }

    internal static ModelPackException Malformed() => new(ErrorCodes.BadPlan, "the graph in the artifact is not a valid ONNX model");

    private ReadOnlySpan<byte> Skip(ulong length)
    {
        if (length > (ulong)(_bytes.Length - _position))
        {
            throw Malformed();
        }

        ReadOnlySpan<byte> skipped = _bytes.Slice(_position, (int)length);
        _position += (int)length;
        return skipped;
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (_position == _bytes.Length)
            {
                throw Malformed();
            }

            byte b = _bytes[_position++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw Malformed();
    }
}
