using System.Collections.Immutable;
using System.Reflection;
using System.Text;
using ModelPack.Compiler;
using ModelPack.Compiler.Calibration;
using ModelPack.Compiler.Planning;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;

namespace ModelPack.Toolchain;

/// <summary>What goes into an artifact made by <c>compile</c>; <see cref="Artifact"/> is the way back.</summary>
internal static class ArtifactContent
{
    /// <summary>Smaller tensors stay inside the graph, so that shape inference sees them.</summary>
    private const long MinExternalBytes = 1024;

    /// <summary>Version of this tool as recorded in provenance: without build metadata, so that rebuilding the tool does not change artifacts.</summary>
    public static string ToolVersion { get; } =
        "modelpack " + (typeof(ArtifactContent).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0");

    /// <summary>True for tensors that become tensors of the artifact instead of staying inside the graph.</summary>
    public static bool IsExternal(Tensor tensor) =>
        !tensor.TryGetRawData(out TensorData data) || (tensor.DType.HasFixedWidth() && data.LengthBytes >= MinExternalBytes);

    public static PackContent Of(Model model, ResolvedRecipe recipe, CompileRequest request, ImportedModel imported, CalibrationInfo? calibration, CancellationToken cancellation)
    {
        var blobs = ImmutableArray.CreateBuilder<KeyValuePair<string, TensorData>>();
        void Add(string name, byte[] bytes) => blobs.Add(KeyValuePair.Create(name, TensorData.FromBytes(bytes)));
        bool hasGraph = model.Kind == ModelKind.Onnx;
        string accuracy = request.Accuracy ?? (model.Checkpoint is null ? recipe.Accuracy : null) ?? "exact";
        ImmutableArray<Tensor> stored = hasGraph ? [.. model.Graph.Initializers.Where(IsExternal)] : model.Graph.Initializers;
        if (hasGraph)
        {
            PlannedModel planned = Planner.Plan(model, new PlanOptions { Target = request.Target, Accuracy = ParseAccuracy(accuracy), StockOperators = request.StockOperators, Profile = request.LoadedProfile, Times = request.Tuner, Rows = request.TuneRows, IsExternal = IsExternal });
            var bound = planned.Plan.Bindings.Select(b => b.Initializer).ToHashSet(StringComparer.Ordinal);
            // Only initializers of the main graph are tensors of the artifact: a weight of a branch stays inside the graph, however large.
            var external = stored.ToHashSet<Tensor>(ReferenceEqualityComparer.Instance);
            Add(Artifact.GraphBlob, OnnxModelWriter.WriteWeightless(model, external.Contains, Dense));
            Add(Artifact.ExecutionGraphBlob, OnnxModelWriter.WriteWeightless(planned.ExecutionModel, t => bound.Contains(t.Name), Dense));
            Add(Artifact.PlanBlob, ExecutionPlanJson.Write(planned.Plan));
            if (request.LoadedProfile is HardwareProfile profile)
            {
                Add(Artifact.ProfileBlob, HardwareProfileJson.Write(profile));
            }
        }

        if (model.Checkpoint is CheckpointForm form)
        {
            Add(Artifact.CheckpointBlob, CheckpointRecord.ToJson(form));
        }

        Add(Artifact.RecipeBlob, Encoding.UTF8.GetBytes(recipe.ToJson()));
        Add(Artifact.ProvenanceBlob, Describe(model, recipe, request, accuracy, imported, calibration, cancellation).ToJson());
        blobs.AddRange(model.Files.Select(f => KeyValuePair.Create(Artifact.FilePrefix + f.RelativePath, f.Data)));
        return PackContent.Empty with
        {
            Tensors = [.. stored.Concat(model.CarriedTensors).Select(t => new PackTensorContent(t.Name, t.DType, t.Shape, t.Encoding))],
            Blobs = blobs.ToImmutable(),
        };
    }

    /// <exception cref="ArgumentException">Neither <c>exact</c> nor <c>fast</c>.</exception>
    internal static PlanAccuracy ParseAccuracy(string text) => text switch
    {
        "identical" => PlanAccuracy.Identical,
        "exact" => PlanAccuracy.Exact,
        "fast" => PlanAccuracy.Fast,
        _ => throw new ArgumentException($"accuracy '{text}' is none of identical, exact and fast"),
    };

    /// <summary>Bytes of a tensor in its own dtype, decoded when read.</summary>
    public static TensorData Dense(Tensor tensor) => DenseTensorData.Of(tensor.DType, tensor.Encoding);

    private static Provenance Describe(Model model, ResolvedRecipe recipe, CompileRequest request, string accuracy, ImportedModel imported, CalibrationInfo? calibration, CancellationToken cancellation) => new()
    {
        Kind = model.Kind switch
        {
            ModelKind.Onnx => model.Checkpoint is null ? "onnx" : "checkpoint",
            ModelKind.Safetensors => "safetensors",
            _ => "checkpoint",
        },
        Tool = ToolVersion,
        Target = request.Target,
        Accuracy = accuracy,
        StockOperators = request.StockOperators,
        Level = request.Level.ToString().ToLowerInvariant(),
        Portable = request.Portable,
        Seed = request.Seed,
        RecipeHash = recipe.Hash,
        Calibration = calibration,
        Inputs = [.. imported.Files.Select(f => Provenance.Describe(f, cancellation))],
        Metadata = model.Kind == ModelKind.Onnx ? [] : model.Metadata,
    };
}
