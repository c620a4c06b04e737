using System.Collections.Immutable;
using System.Globalization;
using ModelPack.Compiler;
using ModelPack.Compiler.Planning;
using ModelPack.Pack;
using ModelPack.Structures;

namespace ModelPack.Toolchain;

/// <summary>What is in a file, without reading tensor data.</summary>
public static class Inspection
{
    /// <summary>Number formats that are named after a tensor type of GGUF files.</summary>
    private static readonly string[] BlockPrefixes = ["gguf-", "bitnet-"];

    /// <summary>Describes any supported file or folder.</summary>
    /// <exception cref="ModelPackException">The file is missing, of no known kind, or damaged.</exception>
    public static InspectResult Inspect(string path, CancellationToken cancellation = default)
    {
        using TensorFile file = TensorFile.Open(path, cancellation);
        Model? model = file.Model;
        if (model is null && file.Format == "mpack" && file.Reader is PackReader compiled && compiled.Blobs.ContainsKey(Artifact.GraphBlob))
        {
            model = Artifact.ReadModel(compiled, cancellation);
        }

        return new InspectResult
        {
            Path = path,
            Format = file.Format,
            FileBytes = FileBytes(path),
            Tensors = [.. file.Tensors.Select(Describe)],
            Metadata = Metadata(file, model),
            Operators = model is null ? ImmutableSortedDictionary<string, int>.Empty : Operators(model),
            Inputs = model is null ? [] : [.. model.Graph.Inputs.Select(Describe)],
            Outputs = model is null ? [] : [.. model.Graph.Outputs.Select(Describe)],
        };
    }

    /// <summary>The execution plan of an artifact.</summary>
    /// <exception cref="ModelPackException">MP4102: the artifact has no plan; MP3004: a size that the model does not leave open.</exception>
    /// <param name="path">The artifact.</param>
    /// <param name="profile">A machine to predict times for; null for the one the artifact was compiled for, if any.</param>
    /// <param name="rows">Rows of activations of the predicted run: tokens at a time, where the model takes tokens.</param>
    /// <param name="threads">Threads of the predicted run: 1, or 0 for all cores.</param>
    /// <param name="sizes">Of dimensions that the inputs leave open, by symbol or <c>input[axis]</c>, and values of inputs that are one integer. Others are 1, integers 0; null for none.</param>
    /// <param name="cancellation">Stops it.</param>
    public static ExplainResult Explain(string path, HardwareProfile? profile = null, long rows = 1, int threads = 0, IReadOnlyDictionary<string, long>? sizes = null, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        using PackReader reader = PackReader.Open(path);
        ExecutionPlan plan = Artifact.ReadPlan(reader)
            ?? throw new ModelPackException(ErrorCodes.NotACompiledArtifact, "the artifact has no graph, so there is no plan to explain", path);
        var totals = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (PlannedNode node in plan.Nodes)
        {
            totals[node.Kernel] = totals.GetValueOrDefault(node.Kernel) + 1;
        }

        profile ??= Artifact.ReadProfile(reader);
        MemoryPrediction? memory = MemoryPrediction.Of(reader, plan, sizes ?? ImmutableDictionary<string, long>.Empty, rows, cancellation);
        (IReadOnlyList<NodeCost?> costs, _, PredictedRun? run) = profile is null ? ([], [], null) : PlanPrediction.Of(reader, plan, profile, rows, memory, threads == 1 ? 1 : profile.Cores, cancellation);
        return new ExplainResult(plan.Target, [.. plan.Nodes.Select((node, i) => Explain(reader, node, costs.Count == 0 ? null : costs[i], profile))], totals) { Predicted = run, Memory = memory?.Memory };
    }

    private static ExplainedNode Explain(PackReader reader, PlannedNode node, NodeCost? cost, HardwareProfile? profile) =>
        new(node.Node, node.Op, node.Kernel, node.Tensor, [.. node.Alternatives.Select(a => new ExplainedAlternative(a.Kernel, a.Reason))])
        {
            Sparsity = reader.Find(node.Tensor) is PackTensor weight ? Sparsity(weight.Encoding) : null,
            PredictedSeconds = cost?.Seconds,
            Bound = cost?.Bound,
            PredictedBytes = cost?.Bytes,
            PredictedFlops = cost?.Flops,
            Accelerator = profile is not null && AcceleratorKernels.Concerns(profile) && node.Op is "MatMul" or "Gemm" && reader.Find(node.Tensor) is PackTensor stored ? Accelerator(profile!, stored.Encoding) : null,
        };

    private static ExplainedAlternative Accelerator(HardwareProfile profile, WeightEncoding encoding)
    {
        AcceleratorKernel kernel = AcceleratorKernels.Of(profile, encoding);
        return new ExplainedAlternative(kernel.Kernel ?? "none", kernel.Reason);
    }

    private static long FileBytes(string path) => Directory.Exists(path)
        ? Directory.EnumerateFiles(path).Sum(f => new FileInfo(f).Length)
        : new FileInfo(path).Length;

    private static InspectedTensor Describe(TensorFile.Entry entry) => new()
    {
        Name = entry.Name,
        Shape = entry.Shape.Dims,
        DType = BlockType(entry.Encoding) ?? entry.DType.Name(),
        BitsPerWeight = Bits(entry),
        Encoding = UnitSpec.Shorten(entry.Encoding.Describe()),
        Bytes = entry.DType.HasFixedWidth() ? entry.DType.StorageBytes(entry.Shape.ElementCount) : EncodingSizes.SourceBytes(entry.Encoding),
        StoredBytes = entry.StoredBytes,
        Sparsity = Sparsity(entry.Encoding),
        Streams = entry.Packed is null
            ? []
            : [.. entry.Packed.Streams.Select(s => new InspectedStream(s.Role, s.Stream.LengthBytes, s.Stream.StoredBytes, s.Stream.Codec, s.Stream.ChunkCount))],
    };

    private static InspectedSparsity? Sparsity(WeightEncoding encoding) =>
        SparseMatrix.Facts(encoding) is SparsityFacts facts ? new(facts.Structure, Math.Round(facts.Density, 6), facts.StoredValues, facts.Blocks, facts.BlocksTotal) : null;

    /// <summary>ggml's name of a block type: what users of GGUF files know their tensors by.</summary>
    private static string? BlockType(WeightEncoding encoding) =>
        encoding is DenseEncoding { IsPending: false } dense && BlockPrefixes.FirstOrDefault(p => dense.Format.Id.StartsWith(p, StringComparison.Ordinal)) is string prefix
            ? dense.Format.Id[prefix.Length..]
            : null;

    private static double? Bits(TensorFile.Entry entry) =>
        entry.Shape.TryElementCount(out long count) && count > 0 ? Math.Round(8.0 * EncodingSizes.SourceBytes(entry.Encoding) / count, 4) : null;

    private static InspectedValue Describe(ValueInfo value) => new(
        value.Name,
        value.Type.IsTensor ? value.Type.DType.Name() : "?",
        value.Type.Dims.IsDefault ? ["?"] : [.. value.Type.Dims.Select(d => d.Symbol ?? d.Value?.ToString(CultureInfo.InvariantCulture) ?? "?")]);

    private static SortedDictionary<string, int> Operators(Model model)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var pending = new Stack<Graph>([model.Graph]);
        while (pending.TryPop(out Graph? graph))
        {
            foreach (Node node in graph.Nodes)
            {
                string name = node.Domain.Length == 0 ? node.OpType : $"{node.Domain}:{node.OpType}";
                counts[name] = counts.GetValueOrDefault(name) + 1;
                foreach (Graph inner in node.Subgraphs())
                {
                    pending.Push(inner);
                }
            }
        }

        return counts;
    }

    private static SortedDictionary<string, string> Metadata(TensorFile file, Model? model)
    {
        var facts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach ((string key, string value) in model?.Metadata ?? [])
        {
            facts[$"metadata.{key}"] = value;
        }

        foreach ((string domain, long version) in model?.Opsets ?? ImmutableSortedDictionary<string, long>.Empty)
        {
            facts[$"opset.{(domain.Length == 0 ? "ai.onnx" : domain)}"] = version.ToString(CultureInfo.InvariantCulture);
        }

        if (model is { IrVersion: > 0 })
        {
            facts["ir_version"] = model.IrVersion.ToString(CultureInfo.InvariantCulture);
        }

        if (model?.Checkpoint is CheckpointForm form)
        {
            facts["architecture"] = form.Architecture;
        }

        if (file.Reader is PackReader reader)
        {
            foreach ((string key, string value) in reader.Metadata)
            {
                facts[$"pack.{key}"] = value;
            }

            if (BaseRecord.Read(reader) is BaseRecord record)
            {
                facts["delta"] = $"{record.Tensors.Length} of {reader.Tensors.Count} tensors are differences: their values need the base";
                foreach (BaseRecord.FileEntry baseFile in record.Files)
                {
                    facts[$"delta.base.{baseFile.Path}"] = $"{baseFile.LengthBytes} bytes, sha256 {baseFile.Sha256}";
                }
            }

            if (Artifact.IsCompiled(reader))
            {
                AddProvenance(facts, Artifact.ReadProvenance(reader));
            }
        }

        return facts;
    }

    private static void AddProvenance(SortedDictionary<string, string> facts, Provenance provenance)
    {
        facts["provenance.tool"] = provenance.Tool;
        facts["provenance.target"] = provenance.Target;
        facts["provenance.accuracy"] = provenance.Accuracy;
        facts["provenance.portable"] = provenance.Portable || TargetProfiles.IsPortable(provenance.Target) ? "true" : "false";
        facts["provenance.seed"] = provenance.Seed.ToString(CultureInfo.InvariantCulture);
        facts["provenance.recipe_hash"] = provenance.RecipeHash;
        foreach (Provenance.InputFile input in provenance.Inputs)
        {
            facts[$"provenance.input.{input.Name}"] = $"{input.Bytes} bytes, xxh128 {input.Xxh128}";
        }
    }
}
