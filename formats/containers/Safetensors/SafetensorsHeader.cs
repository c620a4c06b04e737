using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Unicode;

namespace ModelPack.Containers.Safetensors;

/// <summary>
/// The validated header of one safetensors file: tensors in file order (by data offset, ties by place in the header). The tensors tile the
/// data exactly, and every length follows from dtype and shape.
/// </summary>
/// <param name="DataStartBytes">Where the data buffer starts in the file: 8 + header length.</param>
/// <param name="Tensors">Tensors in file order.</param>
/// <param name="Metadata">Content of <c>__metadata__</c>, in header order.</param>
internal sealed record SafetensorsHeader(
    long DataStartBytes,
    ImmutableArray<SafetensorsTensor> Tensors,
    ImmutableArray<KeyValuePair<string, string>> Metadata)
{
    /// <summary>The format's limit for the JSON header.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    /// <summary>Length of the field before the header that holds the header's length.</summary>
    public const int LengthFieldBytes = 8;

    /// <summary>The name that holds metadata and is therefore no tensor.</summary>
    public const string MetadataKey = "__metadata__";

    /// <summary>Reads and validates the header of <paramref name="file"/>; tensor data are not touched.</summary>
    /// <exception cref="ModelPackException">MP1100-MP1130; <see cref="ModelPackException.Path"/> is the file's.</exception>
    public static SafetensorsHeader Read(MappedFile file, CancellationToken cancellation = default)
    {
        if (file.LengthBytes < LengthFieldBytes)
        {
            throw new ModelPackException(ErrorCodes.SafetensorsTooShort, $"{file.LengthBytes} bytes are too few: the header length alone takes 8", file.Path);
        }

        Span<byte> field = stackalloc byte[LengthFieldBytes];
        file.Read(0, field);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(field);
        if (length > MaxHeaderBytes)
        {
            throw new ModelPackException(ErrorCodes.SafetensorsHeaderTooLarge, $"a header of {length} bytes is over the limit of {MaxHeaderBytes}", file.Path, offsetBytes: 0);
        }

        if ((long)length > file.LengthBytes - LengthFieldBytes)
        {
            throw new ModelPackException(
                ErrorCodes.SafetensorsHeaderPastEnd, $"a header of {length} bytes does not fit in a file of {file.LengthBytes}", file.Path, offsetBytes: 0);
        }

        try
        {
            return ReadJson(file, (int)length, cancellation);
        }
        catch (ModelPackException e) when (e.Path is null)
        {
            throw e.WithPath(file.Path);
        }
    }

    private static SafetensorsHeader ReadJson(MappedFile file, int length, CancellationToken cancellation)
    {
        using NativeBuffer buffer = NativeBuffer.Read(file, LengthFieldBytes, length);
        ReadOnlySpan<byte> json = buffer.Span;
        if (json.IsEmpty || json[0] != (byte)'{')
        {
            throw new ModelPackException(
                ErrorCodes.SafetensorsHeaderStart, json.IsEmpty ? "the header is empty" : $"the header starts with byte 0x{json[0]:x2}, not with '{{'", offsetBytes: LengthFieldBytes);
        }

        if (!Utf8.IsValid(json))
        {
            throw new ModelPackException(ErrorCodes.SafetensorsHeaderNotUtf8, "the header is not valid UTF-8", offsetBytes: LengthFieldBytes);
        }

        var parser = new SafetensorsHeaderParser(json, cancellation);
        parser.Parse();
        long dataStart = LengthFieldBytes + (long)length;
        SafetensorsTensor[] tensors = [.. parser.Tensors];
        CheckTiling(tensors, dataStart, file.LengthBytes - dataStart);
        return new SafetensorsHeader(dataStart, ImmutableCollectionsMarshal.AsImmutableArray(tensors), parser.Metadata);
    }

    /// <summary>Sorts into file order and checks that the tensors cover the data buffer without gap and without overlap.</summary>
    private static void CheckTiling(SafetensorsTensor[] tensors, long dataStart, long dataBytes)
    {
        Array.Sort(tensors, static (a, b) =>
            a.BeginBytes != b.BeginBytes ? a.BeginBytes.CompareTo(b.BeginBytes)
            : a.EndBytes != b.EndBytes ? a.EndBytes.CompareTo(b.EndBytes)
            : a.HeaderIndex.CompareTo(b.HeaderIndex));
        long expected = 0;
        string previous = "";
        foreach (SafetensorsTensor tensor in tensors)
        {
            ModelPackException Fail(ErrorCode code, string detail) => new(code, detail, tensor: tensor.Name, offsetBytes: dataStart + tensor.BeginBytes);
            if (tensor.EndBytes > dataBytes)
            {
                // dataStart + EndBytes may not fit in 64 bits, so the message counts from the start of the data.
                throw new ModelPackException(
                    ErrorCodes.SafetensorsDataPastEnd,
                    $"{SafetensorsDTypes.Name(tensor.DType)}{tensor.Shape} lies at {tensor.BeginBytes}..{tensor.EndBytes} of the data, which are {dataBytes} bytes long",
                    tensor: tensor.Name,
                    offsetBytes: dataStart + Math.Min(tensor.BeginBytes, dataBytes));
            }

            if (tensor.BeginBytes < expected)
            {
                throw Fail(ErrorCodes.SafetensorsOverlap, $"begins at {tensor.BeginBytes} of the data, inside '{previous}' which ends at {expected}");
            }

            if (tensor.BeginBytes > expected)
            {
                throw expected == 0 && previous.Length == 0
                    ? Fail(ErrorCodes.SafetensorsDataStart, $"is the first tensor but begins at {tensor.BeginBytes} of the data, not at 0")
                    : Fail(ErrorCodes.SafetensorsHole, $"begins at {tensor.BeginBytes} of the data, {tensor.BeginBytes - expected} bytes after the end of '{previous}'");
            }

            expected = tensor.EndBytes;
            previous = tensor.Name;
        }

        if (expected != dataBytes)
        {
            throw new ModelPackException(
                ErrorCodes.SafetensorsTrailingBytes, $"{dataBytes - expected} bytes follow the last tensor", offsetBytes: dataStart + expected);
        }
    }
}
