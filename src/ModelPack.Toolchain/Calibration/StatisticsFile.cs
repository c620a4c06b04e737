using System.Collections.Immutable;
using System.Globalization;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;

namespace ModelPack.Toolchain;

/// <summary>
/// Statistics as a safetensors file, which any tool can read: per tap (a value, or certain patches of one) the tensors <c>NAME#minimum</c> and <c>NAME#maximum</c> f32 [K], <c>NAME#sums</c> and <c>NAME#squares</c> f64 [K], <c>NAME#histogram</c> i64 [2048] and, where collected, <c>NAME#moments</c> f32 [K, K].
/// The metadata say of which model and data they are, and hold a hash of all numbers.
/// </summary>
internal sealed class StatisticsFile : ICalibrationStatistics
{
    private const string Marker = "modelpack_calibration";
    private const string Version = "2";

    private readonly ImportedModel _file;
    private readonly Dictionary<string, ActivationStatistics> _byKey;

    private StatisticsFile(ImportedModel file, string model, CalibrationInfo info, Dictionary<string, ActivationStatistics> byKey)
    {
        _file = file;
        ModelHash = model;
        Info = info;
        _byKey = byKey;
    }

    /// <summary>Identity of the model (<see cref="ModelIdentity"/>).</summary>
    public string ModelHash { get; }

    /// <summary>What the data were.</summary>
    public CalibrationInfo Info { get; }

    /// <summary>All statistics, in no particular order.</summary>
    public IEnumerable<ActivationStatistics> All => _byKey.Values;

    public ActivationStatistics this[string key] => _byKey[key];

    /// <summary>True for a file that claims to hold statistics; never throws for odd content.</summary>
    public static bool Recognizes(string path)
    {
        if (!File.Exists(path) || new FileInfo(path).Length % 2 != 0 && !path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase))
        {
            return path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase);
        }

        try
        {
            using ImportedModel file = Containers.Containers.Get("safetensors").Import(path);
            return file.Model.Metadata.Any(p => p.Key == Marker);
        }
        catch (ModelPackException)
        {
            return path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>Writes statistics; the file appears whole or not at all.</summary>
    public static void Write(string path, string model, CalibrationInfo info, IReadOnlyList<ActivationStatistics> statistics, CancellationToken cancellation)
    {
        var tensors = ImmutableArray.CreateBuilder<Tensor>();
        var taps = new JsonArray();
        foreach (ActivationStatistics s in statistics)
        {
            int k = s.Tap.Columns;
            void Add(string what, DType dtype, Shape shape, TensorData data) => tensors.Add(Tensor.Raw($"{s.Tap.Key}#{what}", dtype, shape, data));
            Add("minimum", DType.F32, new Shape(k), TensorData.FromBytes(MemoryMarshal.AsBytes(s.Minimum).ToArray()));
            Add("maximum", DType.F32, new Shape(k), TensorData.FromBytes(MemoryMarshal.AsBytes(s.Maximum).ToArray()));
            Add("sums", DType.F64, new Shape(k), TensorData.FromBytes(MemoryMarshal.AsBytes(s.Sums).ToArray()));
            Add("squares", DType.F64, new Shape(k), TensorData.FromBytes(MemoryMarshal.AsBytes(s.Squares).ToArray()));
            Add("histogram", DType.I64, new Shape(Histogram.Bins), TensorData.FromBytes(MemoryMarshal.AsBytes<long>(s.Histogram.Counts).ToArray()));
            if (s.SecondMoments is TensorData moments)
            {
                Add("moments", DType.F32, new Shape(k, k), moments);
            }

            var tap = new JsonObject { ["value"] = s.Tap.Value, ["columns"] = k, ["rows"] = s.Rows, ["exponent"] = s.Histogram.Exponent, ["moments"] = s.SecondMoments is not null };
            if (s.Tap.Patches is ConvolutionPatches patches)
            {
                tap["patches"] = ToJson(patches);
            }

            taps.Add((JsonNode)tap);
        }

        ImmutableArray<Tensor> all = tensors.ToImmutable();
        var content = new Model
        {
            Kind = ModelKind.Safetensors,
            Graph = new Graph { Initializers = all },
            Metadata =
            [
                new(Marker, Version),
                new("model", model),
                new("data", ToJson(info).ToJsonString()),
                new("taps", taps.ToJsonString()),
                new("xxh128", Hash(all, cancellation)),
            ],
        };
        Containers.Containers.Get("safetensors").Export(content, path, t => t.TryGetRawData(out TensorData data) ? data : TensorData.Empty, cancellation);
    }

    /// <summary>Opens a file and checks all of it.</summary>
    /// <exception cref="ModelPackException">MP2214: damaged, or no statistics. MP1001, MP1002: not readable.</exception>
    public static StatisticsFile Open(string path, CancellationToken cancellation)
    {
        ImportedModel file;
        try
        {
            file = Containers.Containers.Get("safetensors").Import(path, cancellation);
        }
        catch (ModelPackException e) when (e.Code != ErrorCodes.FileNotFound && e.Code != ErrorCodes.FileUnreadable)
        {
            throw Damaged(path, e.Message, e);
        }

        try
        {
            return Parse(file, path, cancellation);
        }
        catch (Exception e)
        {
            file.Dispose();
            if (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException or OverflowException or ArgumentException)
            {
                throw Damaged(path, e.Message, e);
            }

            throw;
        }
    }

    public void Dispose() => _file.Dispose();

    internal static JsonObject ToJson(CalibrationInfo info) => new()
    {
        ["kind"] = info.Kind,
        ["name"] = info.Name,
        ["xxh128"] = info.Xxh128,
        ["samples"] = info.Samples,
        ["window"] = info.Window,
    };

    internal static CalibrationInfo FromJson(JsonNode json) => new(
        json["kind"]!.GetValue<string>(), json["name"]!.GetValue<string>(), json["xxh128"]!.GetValue<string>(), json["samples"]!.GetValue<int>(), json["window"]!.GetValue<int>());

    private static JsonObject ToJson(ConvolutionPatches patches) => new()
    {
        ["kernel"] = patches.Kernel,
        ["strides"] = patches.Strides,
        ["dilations"] = patches.Dilations,
        ["pads"] = patches.Pads,
        ["first_channel"] = patches.FirstChannel,
        ["channels"] = patches.Channels,
        ["positions"] = patches.Positions,
    };

    private static ConvolutionPatches PatchesFromJson(JsonNode json)
    {
        string Text(string name) => json[name]!.GetValue<string>();
        int Number(string name) => json[name]!.GetValue<int>();
        return new ConvolutionPatches(Text("kernel"), Text("strides"), Text("dilations"), Text("pads"), Number("first_channel"), Number("channels"), Number("positions"));
    }

    private static StatisticsFile Parse(ImportedModel file, string path, CancellationToken cancellation)
    {
        Dictionary<string, string> metadata = file.Model.Metadata.ToDictionary(p => p.Key, p => p.Value, StringComparer.Ordinal);
        if (metadata.GetValueOrDefault(Marker) != Version)
        {
            throw Damaged(path, metadata.TryGetValue(Marker, out string? other) ? $"statistics of version '{other}', not {Version}" : "not a file of calibration statistics");
        }

        if (Hash(file.Model.Graph.Initializers, cancellation) != metadata["xxh128"])
        {
            throw Damaged(path, "its numbers do not have the hash that it records");
        }

        Dictionary<string, Tensor> tensors = file.Model.Graph.Initializers.ToDictionary(t => t.Name, StringComparer.Ordinal);
        var byKey = new Dictionary<string, ActivationStatistics>(StringComparer.Ordinal);
        foreach (JsonNode? tap in JsonNode.Parse(metadata["taps"])!.AsArray())
        {
            string value = tap!["value"]!.GetValue<string>();
            int k = tap["columns"]!.GetValue<int>();
            bool moments = tap["moments"]!.GetValue<bool>();
            var known = new CalibrationTap(value, k, moments, Patches: tap["patches"] is JsonNode patches ? PatchesFromJson(patches) : null);
            TensorData Data(string what, DType dtype, params long[] dims)
            {
                Tensor tensor = tensors[$"{known.Key}#{what}"];
                return tensor.DType == dtype && tensor.Shape == new Shape(dims) && tensor.TryGetRawData(out TensorData data)
                    ? data
                    : throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture, $"'{tensor.Name}' is {tensor.DType.Name()}{tensor.Shape}"));
            }

            double[] Doubles(string what) => MemoryMarshal.Cast<byte, double>(Data(what, DType.F64, k).ToArray()).ToArray();
            float[] Floats(string what) => MemoryMarshal.Cast<byte, float>(Data(what, DType.F32, k).ToArray()).ToArray();
            long[] counts = MemoryMarshal.Cast<byte, long>(Data("histogram", DType.I64, Histogram.Bins).ToArray()).ToArray();
            byKey.Add(known.Key, new ActivationStatistics(
                known,
                tap["rows"]!.GetValue<long>(),
                Floats("minimum"),
                Floats("maximum"),
                Doubles("sums"),
                Doubles("squares"),
                new Histogram(counts, tap["exponent"]!.GetValue<int>()),
                moments ? Data("moments", DType.F32, k, k) : null));
        }

        return new StatisticsFile(file, metadata["model"], FromJson(JsonNode.Parse(metadata["data"])!), byKey);
    }

    /// <summary>Over names and bytes of all tensors, in the order of their names.</summary>
    private static string Hash(ImmutableArray<Tensor> tensors, CancellationToken cancellation)
    {
        var hash = new XxHash128();
        byte[] buffer = new byte[1 << 20];
        foreach (Tensor tensor in tensors.OrderBy(t => t.Name, StringComparer.Ordinal))
        {
            hash.Append(System.Text.Encoding.UTF8.GetBytes($"{tensor.Name} {tensor.DType.Name()} {tensor.Shape}\n"));
            _ = tensor.TryGetRawData(out TensorData data);
            ModelIdentity.Append(hash, data, buffer, cancellation);
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    private static ModelPackException Damaged(string path, string detail, Exception? inner = null) => new(ErrorCodes.StatisticsDamaged, detail, path, innerException: inner);
}
