using System.Text.Json;
using System.Text.Unicode;

namespace ModelPack.Containers.Checkpoint;

/// <summary>A checkpoint index (<c>model.safetensors.index.json</c>): which file holds which tensor.</summary>
/// <param name="WeightMap">File name, relative to the folder, by tensor name. Paths are not yet checked.</param>
internal sealed record CheckpointIndex(IReadOnlyDictionary<string, string> WeightMap)
{
    /// <summary>As much as a safetensors header may have.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>Reads and checks the JSON; what the file says besides <c>weight_map</c> is informative and skipped.</summary>
    /// <exception cref="ModelPackException">MP1152-MP1156, with the path.</exception>
    public static CheckpointIndex Read(MappedFile file, CancellationToken cancellation = default)
    {
        if (file.LengthBytes > MaxBytes)
        {
            throw new ModelPackException(ErrorCodes.IndexTooLarge, $"an index of {file.LengthBytes} bytes is over the limit of {MaxBytes}", file.Path);
        }

        using NativeBuffer buffer = NativeBuffer.Read(file, 0, (int)file.LengthBytes);
        if (!Utf8.IsValid(buffer.Span))
        {
            throw new ModelPackException(ErrorCodes.IndexNotJson, "the index is not valid UTF-8", file.Path);
        }

        var reader = new Utf8JsonReader(buffer.Span);
        try
        {
            return Parse(ref reader, cancellation);
        }
        catch (ModelPackException e)
        {
            throw e.WithPath(file.Path);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: an escape that is half a surrogate pair.
            string reason = e.Message.Split(" LineNumber:", 2)[0];
            throw new ModelPackException(ErrorCodes.IndexNotJson, $"the index is not valid JSON: {reason}", file.Path, offsetBytes: reader.BytesConsumed, innerException: e);
        }
    }

    private static CheckpointIndex Parse(ref Utf8JsonReader reader, CancellationToken cancellation)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new ModelPackException(ErrorCodes.IndexNotJson, "the index is not a JSON object", offsetBytes: reader.TokenStartIndex);
        }

        var keys = new HashSet<string>(StringComparer.Ordinal);
        Dictionary<string, string>? weightMap = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            if (!keys.Add(key))
            {
                throw new ModelPackException(ErrorCodes.IndexDuplicateKey, $"'{key}' is given twice", offsetBytes: reader.TokenStartIndex);
            }

            reader.Read();
            if (key == "weight_map")
            {
                weightMap = ParseWeightMap(ref reader, cancellation);
            }
            else
            {
                reader.Skip();
            }
        }

        reader.Read(); // nothing but white space may follow
        return weightMap is null
            ? throw new ModelPackException(ErrorCodes.IndexWithoutWeightMap, "the index has no weight_map")
            : new CheckpointIndex(weightMap);
    }

    private static Dictionary<string, string> ParseWeightMap(ref Utf8JsonReader reader, CancellationToken cancellation)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new ModelPackException(ErrorCodes.IndexBadWeightMap, "weight_map is not an object", offsetBytes: reader.TokenStartIndex);
        }

        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        string file = "";
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            cancellation.ThrowIfCancellationRequested();
            string tensor = reader.GetString()!;
            long at = reader.TokenStartIndex;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw new ModelPackException(ErrorCodes.IndexBadWeightMap, "weight_map does not give a file name", tensor: tensor, offsetBytes: reader.TokenStartIndex);
            }

            // Neighbours are mostly in the same file: one string for all of them.
            file = reader.ValueTextEquals(file) ? file : reader.GetString()!;
            if (!map.TryAdd(tensor, file))
            {
                throw new ModelPackException(ErrorCodes.IndexDuplicateKey, "is given twice in weight_map", tensor: tensor, offsetBytes: at);
            }
        }

        return map;
    }
}
