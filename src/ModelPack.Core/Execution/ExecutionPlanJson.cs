using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ModelPack;

/// <summary>The JSON form of <see cref="ExecutionPlan"/>, as stored in artifacts: snake_case, version 1, the same bytes for the same plan.</summary>
public static class ExecutionPlanJson
{
    private const int FormatVersion = 1;

    /// <summary>Far above any real plan; keeps a hostile artifact from costing memory.</summary>
    private const int MaxBytes = 256 << 20;

    /// <summary>Writes a plan as UTF-8 JSON.</summary>
    public static byte[] Write(ExecutionPlan plan)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteNumber("version", FormatVersion);
            json.WriteString("target", plan.Target);
            json.WriteStartArray("bindings");
            foreach (InitializerBinding binding in plan.Bindings)
            {
                Write(json, binding);
            }

            json.WriteEndArray();
            json.WriteStartArray("nodes");
            foreach (PlannedNode node in plan.Nodes)
            {
                Write(json, node);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    /// <summary>Reads a plan.</summary>
    /// <exception cref="ModelPackException">MP5003: not a plan, or of a later version.</exception>
    public static ExecutionPlan Read(ReadOnlyMemory<byte> utf8)
    {
        if (utf8.Length > MaxBytes)
        {
            throw Bad($"{utf8.Length} bytes long, more than {MaxBytes}");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8, new JsonDocumentOptions { MaxDepth = 16 });
            JsonElement root = document.RootElement;
            int version = root.GetProperty("version").GetInt32();
            if (version != FormatVersion)
            {
                throw Bad($"of version {version}; this program reads version {FormatVersion}");
            }

            return new ExecutionPlan(
                Text(root, "target"),
                Items(root.GetProperty("bindings"), ReadBinding),
                Items(root.GetProperty("nodes"), ReadNode));
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentOutOfRangeException)
        {
            throw Bad($"damaged: {e.Message}", e);
        }
    }

    private static void Write(Utf8JsonWriter json, InitializerBinding binding)
    {
        json.WriteStartObject();
        json.WriteString("initializer", binding.Initializer);
        json.WriteString("tensor", binding.Tensor);
        if (binding.Role is not null)
        {
            json.WriteString("role", binding.Role);
        }

        json.WriteString("dtype", binding.DType.Name());
        json.WriteStartArray("shape");
        foreach (long dim in binding.Shape.Dims)
        {
            json.WriteNumberValue(dim);
        }

        json.WriteEndArray();
        if (binding.Transposed)
        {
            json.WriteBoolean("transposed", true);
        }

        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, PlannedNode node)
    {
        json.WriteStartObject();
        json.WriteString("node", node.Node);
        json.WriteString("op", node.Op);
        json.WriteString("kernel", node.Kernel);
        json.WriteString("tensor", node.Tensor);
        json.WriteStartArray("alternatives");
        foreach (RejectedKernel rejected in node.Alternatives)
        {
            json.WriteStartObject();
            json.WriteString("kernel", rejected.Kernel);
            json.WriteString("reason", rejected.Reason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static InitializerBinding ReadBinding(JsonElement json)
    {
        string name = Text(json, "dtype");
        if (!DTypes.TryParse(name, out DType dtype))
        {
            throw Bad($"names the unknown dtype '{name}'");
        }

        JsonElement shape = json.GetProperty("shape");
        long[] dims = new long[shape.GetArrayLength()];
        for (int i = 0; i < dims.Length; i++)
        {
            dims[i] = shape[i].GetInt64();
        }

        string? role = json.TryGetProperty("role", out _) ? Text(json, "role") : null;
        return new InitializerBinding(Text(json, "initializer"), Text(json, "tensor"), role, dtype, new Shape(dims), json.TryGetProperty("transposed", out JsonElement transposed) && transposed.GetBoolean());
    }

    private static PlannedNode ReadNode(JsonElement json) => new(
        Text(json, "node"),
        Text(json, "op"),
        Text(json, "kernel"),
        Text(json, "tensor"),
        Items(json.GetProperty("alternatives"), static a => new RejectedKernel(Text(a, "kernel"), Text(a, "reason"))));

    /// <summary>The elements of an array. A loop, because Linq over a struct such as JsonElement is compiled at run time, in every process that opens an artifact.</summary>
    private static ImmutableArray<T> Items<T>(JsonElement array, Func<JsonElement, T> read)
        where T : class
    {
        var items = new T[array.GetArrayLength()];
        int i = 0;
        foreach (JsonElement item in array.EnumerateArray())
        {
            items[i++] = read(item);
        }

        return ImmutableCollectionsMarshal.AsImmutableArray(items);
    }

    private static string Text(JsonElement json, string key) => json.GetProperty(key).GetString() ?? throw new FormatException($"'{key}' is null");

    private static ModelPackException Bad(string what, Exception? inner = null) => new(ErrorCodes.BadPlan, $"the execution plan is {what}", innerException: inner);
}
