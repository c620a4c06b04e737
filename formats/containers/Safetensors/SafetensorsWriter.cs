using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using ModelPack.Compiler;

namespace ModelPack.Containers.Safetensors;

/// <summary>
/// Writes one safetensors file. Deterministic, in the layout of the reference writer: metadata first, tensors by descending dtype
/// alignment and then name, header padded with spaces so that the data start at a multiple of 8 bytes.
/// </summary>
internal static class SafetensorsWriter
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Checks that the format can hold every tensor.</summary>
    /// <exception cref="ModelPackException">MP1118, MP1124, MP1140, MP1141.</exception>
    public static void Check(ImmutableArray<Tensor> tensors)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Tensor tensor in tensors)
        {
            ModelPackException Fail(ErrorCode code, string detail) => new(code, detail, tensor: tensor.Name);
            if (SafetensorsDTypes.Rank(tensor.DType) < 0)
            {
                throw Fail(ErrorCodes.SafetensorsCannotHoldDType, $"safetensors has no dtype {tensor.DType.Name()}");
            }

            if (tensor.Name == SafetensorsHeader.MetadataKey)
            {
                throw Fail(ErrorCodes.SafetensorsCannotHoldName, "the name stands for metadata");
            }

            if (!names.Add(tensor.Name))
            {
                throw Fail(ErrorCodes.SafetensorsCannotHoldName, "two tensors have this name");
            }

            if (!tensor.Shape.TryElementCount(out long elements) || !tensor.DType.TryStorageBytes(elements, out _))
            {
                throw Fail(ErrorCodes.SafetensorsShapeOverflow, $"{tensor.DType.Name()}{tensor.Shape} has more elements or bytes than fit in 63 bits");
            }

            if ((Int128)elements * tensor.DType.BitsPerElement() % 8 != 0)
            {
                throw Fail(ErrorCodes.SafetensorsPartialByte, $"{tensor.DType.Name()}{tensor.Shape} does not fill whole bytes");
            }
        }
    }

    /// <summary>Bytes of a tensor that passed <see cref="Check"/>.</summary>
    public static long LengthBytes(Tensor tensor) => tensor.DType.StorageBytes(tensor.Shape.ElementCount);

    /// <summary>Writes length field, header and data; the data are copied in tiles of at most 1 MiB.</summary>
    /// <param name="destination">Positioned at the start of the file.</param>
    /// <param name="tensors">Tensors that passed <see cref="Check"/>, in any order.</param>
    /// <param name="metadata">Content of <c>__metadata__</c>; left out when empty.</param>
    /// <param name="dense">Gives a tensor's bytes in its own dtype.</param>
    /// <param name="cancellation">Checked once per tile.</param>
    /// <param name="maxHeaderBytes">The format's limit; smaller in tests.</param>
    /// <exception cref="ModelPackException">MP1141 for names that are not Unicode, MP1143.</exception>
    public static void Write(
        Stream destination,
        ImmutableArray<Tensor> tensors,
        ImmutableArray<KeyValuePair<string, string>> metadata,
        Func<Tensor, TensorData> dense,
        CancellationToken cancellation,
        int maxHeaderBytes = SafetensorsHeader.MaxHeaderBytes)
    {
        Tensor[] sorted = [.. tensors];
        Array.Sort(sorted, CompareForFile);
        destination.Write(Header(sorted, metadata, maxHeaderBytes).WrittenSpan);
        foreach (Tensor tensor in sorted)
        {
            TensorData data = dense(tensor);
            if (data.LengthBytes != LengthBytes(tensor))
            {
                throw new InvalidOperationException($"tensor '{tensor.Name}': {data.LengthBytes} dense bytes given where {tensor.DType.Name()}{tensor.Shape} has {LengthBytes(tensor)}");
            }

            TensorCopy.Write(destination, tensor.Name, data, cancellation);
        }
    }

    /// <summary>Length field, JSON and padding.</summary>
    private static ArrayBufferWriter<byte> Header(Tensor[] sorted, ImmutableArray<KeyValuePair<string, string>> metadata, int maxHeaderBytes)
    {
        var header = new ArrayBufferWriter<byte>(4096);
        header.Write(new byte[SafetensorsHeader.LengthFieldBytes]);
        var text = new StringBuilder("{");
        if (!metadata.IsEmpty)
        {
            AppendString(text, SafetensorsHeader.MetadataKey);
            text.Append(':');
            char open = '{';
            foreach ((string key, string value) in metadata)
            {
                text.Append(open);
                AppendString(text, key);
                text.Append(':');
                AppendString(text, value);
                open = ',';
            }

            text.Append('}');
        }

        long offset = 0;
        foreach (Tensor tensor in sorted)
        {
            long end = checked(offset + LengthBytes(tensor));
            text.Append(text.Length == 1 && header.WrittenCount == SafetensorsHeader.LengthFieldBytes ? "" : ",");
            AppendString(text, tensor.Name);
            text.Append(CultureInfo.InvariantCulture, $":{{\"dtype\":\"{SafetensorsDTypes.Name(tensor.DType)}\",\"shape\":{tensor.Shape},\"data_offsets\":[{offset},{end}]}}");
            Flush(text, header, tensor.Name, maxHeaderBytes);
            offset = end;
        }

        text.Append('}');
        Flush(text, header, "", maxHeaderBytes);
        int padding = (8 - (header.WrittenCount % 8)) % 8;
        header.Write("       "u8[..padding]);
        int jsonBytes = header.WrittenCount - SafetensorsHeader.LengthFieldBytes;
        if (jsonBytes > maxHeaderBytes)
        {
            throw TooLarge(maxHeaderBytes);
        }

        System.Runtime.InteropServices.MemoryMarshal.TryGetArray(header.WrittenMemory, out ArraySegment<byte> bytes);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)jsonBytes);
        return header;
    }

    private static void Flush(StringBuilder text, ArrayBufferWriter<byte> header, string tensor, int maxHeaderBytes)
    {
        try
        {
            StrictUtf8.GetBytes(text.ToString(), header);
        }
        catch (EncoderFallbackException e)
        {
            throw new ModelPackException(ErrorCodes.SafetensorsCannotHoldName, "the name or metadata are not valid Unicode", tensor: tensor, innerException: e);
        }

        text.Clear();
        if (header.WrittenCount > (long)maxHeaderBytes + SafetensorsHeader.LengthFieldBytes)
        {
            throw TooLarge(maxHeaderBytes);
        }
    }

    private static ModelPackException TooLarge(int maxHeaderBytes) =>
        new(ErrorCodes.SafetensorsHeaderWouldBeTooLarge, $"the header would be longer than the {maxHeaderBytes} bytes the format allows");

    /// <summary>A JSON string with the escapes of the reference writer: quote, backslash and control characters only.</summary>
    private static void AppendString(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (char c in value)
        {
            string? escape = c switch
            {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\b' => "\\b",
                '\f' => "\\f",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                < ' ' => string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => null,
            };
            _ = escape is null ? text.Append(c) : text.Append(escape);
        }

        text.Append('"');
    }

    private static int CompareForFile(Tensor a, Tensor b)
    {
        int byDType = SafetensorsDTypes.Rank(b.DType).CompareTo(SafetensorsDTypes.Rank(a.DType));
        return byDType != 0 ? byDType : CompareUtf8(a.Name, b.Name);
    }

    /// <summary>The order of the names' UTF-8 bytes: as ordinal, except that surrogates (code points from U+10000) come last.</summary>
    private static int CompareUtf8(string a, string b)
    {
        int common = a.AsSpan().CommonPrefixLength(b);
        if (common == a.Length || common == b.Length)
        {
            return a.Length.CompareTo(b.Length);
        }

        (char x, char y) = (a[common], b[common]);
        int bySurrogate = char.IsSurrogate(x).CompareTo(char.IsSurrogate(y));
        return bySurrogate != 0 ? bySurrogate : x.CompareTo(y);
    }
}
