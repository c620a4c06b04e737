using System.Collections.Immutable;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Pack;
using ModelPack.Runtime.Generation;

namespace ModelPack.Toolchain;

/// <summary>Reads back what <see cref="ArtifactContent"/> wrote.</summary>
internal static class Artifact
{
    public const string GraphBlob = "graph";
    public const string ExecutionGraphBlob = "execution-graph";
    public const string PlanBlob = "plan";
    public const string ProfileBlob = "profile";
    public const string RecipeBlob = "recipe";
    public const string CheckpointBlob = "checkpoint";
    public const string ProvenanceBlob = "provenance";

    /// <summary>Prefix of blobs that hold files of a checkpoint folder.</summary>
    public const string FilePrefix = TextGenerator.FilePrefix;

    private const int MaxTextBytes = 64 << 20;

    /// <summary>True for artifacts made by <c>compile</c>, false for those made by <c>pack</c>.</summary>
    public static bool IsCompiled(PackReader reader) => reader.Blobs.ContainsKey(ProvenanceBlob);

    /// <exception cref="ModelPackException">MP4102: made by something else; MP4101: the record is damaged.</exception>
    public static Provenance ReadProvenance(PackReader reader) => reader.Blobs.TryGetValue(ProvenanceBlob, out TensorData? data)
        ? Provenance.Parse(data.ToArray(MaxTextBytes), reader.File.Path)
        : throw new ModelPackException(ErrorCodes.NotACompiledArtifact, "this artifact was made by 'pack', not by 'compile'", reader.File.Path);

    /// <summary>The recorded recipe as text.</summary>
    public static string ReadRecipe(PackReader reader) => reader.Blobs.TryGetValue(RecipeBlob, out TensorData? data)
        ? System.Text.Encoding.UTF8.GetString(data.ToArray(MaxTextBytes))
        : throw new ModelPackException(ErrorCodes.NotACompiledArtifact, "the artifact records no recipe", reader.File.Path);

    /// <summary>The recorded plan, or null for artifacts without a graph.</summary>
    public static ExecutionPlan? ReadPlan(PackReader reader) =>
        reader.Blobs.TryGetValue(PlanBlob, out TensorData? data) ? ExecutionPlanJson.Read(data.ToArray(MaxTextBytes)) : null;

    /// <summary>The hardware profile that the plan was made for, or null when it was made for none.</summary>
    public static HardwareProfile? ReadProfile(PackReader reader) =>
        reader.Blobs.TryGetValue(ProfileBlob, out TensorData? data) ? HardwareProfileJson.Read(data.ToArray(HardwareProfileJson.MaxBytes), reader.File.Path) : null;

    /// <summary>What the checkpoint was that this artifact's graph was built for; null when it was made from anything else.</summary>
    /// <exception cref="ModelPackException">MP4101: the record is damaged.</exception>
    public static CheckpointForm? ReadCheckpoint(PackReader reader) =>
        reader.Blobs.TryGetValue(CheckpointBlob, out TensorData? data) ? CheckpointRecord.Parse(data.ToArray(MaxTextBytes), reader.File.Path) : null;

    /// <summary>The model as it was after all passes, tensors decoding from the artifact.</summary>
    /// <exception cref="ModelPackException">MP4102, or what reading the graph reports.</exception>
    public static Model ReadModel(PackReader reader, CancellationToken cancellation)
    {
        Provenance provenance = ReadProvenance(reader);
        ImmutableArray<CarriedFile> files = [.. reader.Blobs.Where(b => b.Key.StartsWith(FilePrefix, StringComparison.Ordinal)).Select(b => new CarriedFile(b.Key[FilePrefix.Length..], b.Value))];
        if (reader.Blobs.TryGetValue(GraphBlob, out TensorData? graph))
        {
            var read = new HashSet<string>(StringComparer.Ordinal);
            Model model = OnnxModelReader.ReadWeightless(graph, (path, _) => reader.Find(path) is PackTensor t && read.Add(path) ? ToTensor(t) : null, cancellation);
            return model with { Checkpoint = ReadCheckpoint(reader), Files = files, CarriedTensors = [.. reader.Tensors.Where(t => !read.Contains(t.Name)).Select(ToTensor)] };
        }

        return new Model
        {
            Kind = provenance.Kind == "checkpoint" ? ModelKind.Checkpoint : ModelKind.Safetensors,
            Graph = new Graph { Initializers = [.. reader.Tensors.Select(ToTensor)] },
            Metadata = [.. provenance.Metadata],
            Files = files,
        };
    }

    private static Tensor ToTensor(PackTensor t) => new() { Name = t.Name, DType = t.DType, Shape = t.Shape, Encoding = t.Encoding };
}
