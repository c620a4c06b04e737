using System.Buffers.Text;
using System.Collections.Immutable;
using System.Text.Json;

namespace ModelPack.Containers.Safetensors;

/// <summary>
/// One pass over the JSON header. Never recurses: the format has three levels, and a bracket where a scalar belongs is an error at once.
/// Offsets in errors are file offsets.
/// </summary>
/// <remarks>
/// Stricter than the reference reader in one point: fields of a tensor that the format does not have are errors. They could mean another
/// layout of the bytes (strides, byte order), and reading such a tensor as if they were absent would give wrong values silently.
/// </remarks>
/// <param name="json">The header, valid UTF-8, starting with '{'.</param>
/// <param name="cancellation">Checked once per tensor.</param>
internal ref struct SafetensorsHeaderParser(ReadOnlySpan<byte> json, CancellationToken cancellation)
{
    /// <summary>More dimensions than any runtime knows; keeps a hostile header from becoming a large array.</summary>
    private const int MaxRank = 256;

    // One level more than the format has, so that a bracket in the wrong place is reported as that and not as a depth limit.
    private Utf8JsonReader _reader = new(json, new JsonReaderOptions { MaxDepth = 4 });
    private readonly int _length = json.Length;
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private readonly long[] _dims = new long[MaxRank];
    private string? _tensor;

    /// <summary>Tensors in header order.</summary>
    public List<SafetensorsTensor> Tensors { get; } = [];

    /// <summary>Metadata in header order.</summary>
    public ImmutableArray<KeyValuePair<string, string>> Metadata { get; private set; } = [];

    public void Parse()
    {
        bool sawMetadata = false;
        Read(); // '{', checked by the caller
        while (Read() == JsonTokenType.PropertyName)
        {
            cancellation.ThrowIfCancellationRequested();
            string name = Text();
            if (name == SafetensorsHeader.MetadataKey)
            {
                if (sawMetadata)
                {
                    throw Fail(ErrorCodes.SafetensorsDuplicateMetadata, $"{SafetensorsHeader.MetadataKey} is given twice");
                }

                sawMetadata = true;
                ParseMetadata();
                continue;
            }

            _tensor = name;
            if (!_names.Add(name))
            {
                throw Fail(ErrorCodes.SafetensorsDuplicateTensor, "is named twice in the header");
            }

            ParseEntry(name);
            _tensor = null;
        }

        Read(); // nothing but white space may follow; anything else is a JSON error
    }

    private void ParseMetadata()
    {
        JsonTokenType first = Read();
        if (first == JsonTokenType.Null)
        {
            return;
        }

        if (first != JsonTokenType.StartObject)
        {
            throw Fail(ErrorCodes.SafetensorsMetadataNotStrings, $"{SafetensorsHeader.MetadataKey} is not an object");
        }

        var keys = new HashSet<string>(StringComparer.Ordinal);
        var metadata = ImmutableArray.CreateBuilder<KeyValuePair<string, string>>();
        while (Read() == JsonTokenType.PropertyName)
        {
            string key = Text();
            if (!keys.Add(key))
            {
                throw Fail(ErrorCodes.SafetensorsDuplicateMetadata, $"metadata key '{key}' is given twice");
            }

            JsonTokenType value = Read();
            if (value is JsonTokenType.StartObject or JsonTokenType.StartArray)
            {
                throw Fail(ErrorCodes.SafetensorsNesting, $"metadata value '{key}' is a nested structure, not a string");
            }

            if (value != JsonTokenType.String)
            {
                throw Fail(ErrorCodes.SafetensorsMetadataNotStrings, $"metadata value '{key}' is not a string");
            }

            metadata.Add(new(key, Text()));
        }

        Metadata = metadata.DrainToImmutable();
    }

    private void ParseEntry(string name)
    {
        if (Read() != JsonTokenType.StartObject)
        {
            throw Fail(ErrorCodes.SafetensorsEntryNotObject, "is not described by an object");
        }

        long entryAt = At;
        DType dtype = DType.Undefined;
        int rank = -1;
        Span<long> offsets = stackalloc long[2];
        long begin = -1;
        long end = -1;
        while (Read() == JsonTokenType.PropertyName)
        {
            if (_reader.ValueIsEscaped)
            {
                Text(); // the comparisons below throw for escapes that are no text
            }

            if (_reader.ValueTextEquals("dtype"u8))
            {
                Once(dtype == DType.Undefined, "dtype");
                dtype = ParseDType();
            }
            else if (_reader.ValueTextEquals("shape"u8))
            {
                Once(rank < 0, "shape");
                rank = ParseNumbers("shape", MaxRank, ErrorCodes.SafetensorsTooManyDimensions, $"shape has more than {MaxRank} dimensions", _dims);
            }
            else if (_reader.ValueTextEquals("data_offsets"u8))
            {
                Once(begin < 0, "data_offsets");
                const string exactlyTwo = "data_offsets are not exactly two numbers";
                if (ParseNumbers("data_offsets", 2, ErrorCodes.SafetensorsOffsetCount, exactlyTwo, offsets) != 2)
                {
                    throw Fail(ErrorCodes.SafetensorsOffsetCount, exactlyTwo);
                }

                (begin, end) = (offsets[0], offsets[1]);
            }
            else
            {
                throw Fail(ErrorCodes.SafetensorsUnknownField, $"has an unknown field '{Text()}'");
            }
        }

        if (dtype == DType.Undefined || rank < 0 || begin < 0)
        {
            string missing = dtype == DType.Undefined ? "dtype" : rank < 0 ? "shape" : "data_offsets";
            throw new ModelPackException(ErrorCodes.SafetensorsMissingField, $"has no {missing}", tensor: name, offsetBytes: entryAt);
        }

        Tensors.Add(Checked(name, dtype, _dims.AsSpan(0, rank), begin, end));
    }

    private readonly SafetensorsTensor Checked(string name, DType dtype, ReadOnlySpan<long> dims, long begin, long end)
    {
        var shape = new Shape(dims);
        if (begin > end)
        {
            throw FailData(ErrorCodes.SafetensorsOffsetsReversed, $"data_offsets [{begin},{end}] end before they begin", begin);
        }

        if (!TryBits(dtype, dims, out Int128 bits))
        {
            throw FailData(ErrorCodes.SafetensorsShapeOverflow, $"{SafetensorsDTypes.Name(dtype)}{shape} has more elements or bytes than fit in 63 bits", begin);
        }

        if (bits % 8 != 0)
        {
            throw FailData(ErrorCodes.SafetensorsPartialByte, $"{SafetensorsDTypes.Name(dtype)}{shape} has {bits} bits, which are not whole bytes", begin);
        }

        return bits / 8 == end - begin
            ? new SafetensorsTensor(name, dtype, shape, begin, end, Tensors.Count)
            : throw FailData(ErrorCodes.SafetensorsSizeMismatch, $"{SafetensorsDTypes.Name(dtype)}{shape} needs {bits / 8} bytes but has {end - begin}", begin);
    }

    /// <summary>
    /// Bits of the tensor. A zero dimension makes it empty, but the other dimensions must still multiply within 63 bits, because later
    /// code forms partial products.
    /// </summary>
    private static bool TryBits(DType dtype, ReadOnlySpan<long> dims, out Int128 bits)
    {
        Int128 product = 1;
        bool empty = false;
        foreach (long dim in dims)
        {
            empty |= dim == 0;
            product *= Math.Max(1, dim);
            if (product > long.MaxValue)
            {
                bits = 0;
                return false;
            }
        }

        bits = product * dtype.BitsPerElement();
        bool fits = bits / 8 <= long.MaxValue;
        bits = empty ? 0 : bits;
        return fits;
    }

    private DType ParseDType()
    {
        if (Scalar("dtype") != JsonTokenType.String)
        {
            throw Fail(ErrorCodes.SafetensorsFieldType, "dtype is not a string");
        }

        // Names have no characters that need escapes, but a writer may escape anything.
        DType dtype;
        bool known = _reader.ValueIsEscaped
            ? SafetensorsDTypes.TryParse(System.Text.Encoding.UTF8.GetBytes(Text()), out dtype)
            : SafetensorsDTypes.TryParse(_reader.ValueSpan, out dtype);
        return known ? dtype : throw Fail(ErrorCodes.SafetensorsUnknownDType, $"unknown dtype '{Text()}'");
    }

    private int ParseNumbers(string field, int limit, ErrorCode tooMany, string tooManyDetail, scoped Span<long> destination)
    {
        JsonTokenType first = Read();
        if (first == JsonTokenType.StartObject)
        {
            throw Fail(ErrorCodes.SafetensorsNesting, $"{field} holds an object");
        }

        if (first != JsonTokenType.StartArray)
        {
            throw Fail(ErrorCodes.SafetensorsFieldType, $"{field} is not a list");
        }

        int count = 0;
        while (Scalar(field) is JsonTokenType token && token != JsonTokenType.EndArray)
        {
            long value = Number(field, token);
            if (count == limit)
            {
                throw Fail(tooMany, tooManyDetail);
            }

            destination[count++] = value;
        }

        return count;
    }

    private readonly long Number(string field, JsonTokenType token)
    {
        ReadOnlySpan<byte> digits = token == JsonTokenType.Number ? _reader.ValueSpan : default;
        bool negative = !digits.IsEmpty && digits[0] == (byte)'-';
        digits = negative ? digits[1..] : digits;
        if (digits.IsEmpty || digits.ContainsAnyExceptInRange((byte)'0', (byte)'9'))
        {
            throw Fail(ErrorCodes.SafetensorsNotAnInteger, $"{field} holds something that is not an integer");
        }

        if (negative)
        {
            throw Fail(ErrorCodes.SafetensorsNegativeNumber, $"{field} holds a negative number");
        }

        return Utf8Parser.TryParse(digits, out long value, out int used) && used == digits.Length
            ? value
            : throw Fail(ErrorCodes.SafetensorsNumberTooLarge, $"{field} holds a number of {digits.Length} digits that does not fit in 63 bits");
    }

    /// <summary>Reads the next token, which must not open another level.</summary>
    private JsonTokenType Scalar(string field)
    {
        JsonTokenType token = Read();
        return token is JsonTokenType.StartArray or JsonTokenType.StartObject
            ? throw Fail(ErrorCodes.SafetensorsNesting, $"{field} holds a nested structure")
            : token;
    }

    private readonly void Once(bool first, string field)
    {
        if (!first)
        {
            throw Fail(ErrorCodes.SafetensorsDuplicateField, $"gives {field} twice");
        }
    }

    private JsonTokenType Read()
    {
        try
        {
            return _reader.Read() ? _reader.TokenType : JsonTokenType.None;
        }
        catch (JsonException e)
        {
            string reason = e.Message.Split(" LineNumber:", 2)[0];
            throw new ModelPackException(
                ErrorCodes.SafetensorsHeaderNotJson, $"the header is not valid JSON: {reason}", tensor: _tensor, offsetBytes: SafetensorsHeader.LengthFieldBytes + _reader.BytesConsumed, innerException: e);
        }
    }

    /// <summary>The current name or string. Escapes may form half a surrogate pair, which is no text.</summary>
    private readonly string Text()
    {
        try
        {
            return _reader.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new ModelPackException(ErrorCodes.SafetensorsBadText, "a name or text is not valid Unicode", tensor: _tensor, offsetBytes: At, innerException: e);
        }
    }

    /// <summary>File offset of the current token.</summary>
    private readonly long At => SafetensorsHeader.LengthFieldBytes + _reader.TokenStartIndex;

    private readonly ModelPackException Fail(ErrorCode code, string detail) => new(code, detail, tensor: _tensor, offsetBytes: At);

    private readonly ModelPackException FailData(ErrorCode code, string detail, long begin) =>
        new(code, detail, tensor: _tensor, offsetBytes: (long)Int128.Min(long.MaxValue, SafetensorsHeader.LengthFieldBytes + (Int128)_length + begin));
}
