using System.Security.Cryptography;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

namespace ModelPack.MSBuild;

/// <summary>One <c>PackedModel</c> item, with everything that is derived from it: what <see cref="PlanPackedModels"/> makes and <see cref="CompilePackedModels"/> carries out.</summary>
internal sealed record PlannedModel
{
    /// <summary>Full path of the model: a file or a checkpoint folder.</summary>
    public required string Model { get; init; }

    /// <summary>Full path of the artifact in the intermediate folder.</summary>
    public required string Artifact { get; init; }

    /// <summary>Where the artifact goes, relative to the output folder, with forward slashes.</summary>
    public required string Link { get; init; }

    /// <summary>Full name of the class to write.</summary>
    public required string ClassName { get; init; }

    /// <summary>What the command line of the tool says between the input and the outputs; one argument each.</summary>
    public required IReadOnlyList<string> Arguments { get; init; }

    /// <summary>Recipe, calibration data and profile, as far as they are files or folders.</summary>
    public required IReadOnlyList<string> OtherInputs { get; init; }

    /// <summary>Largest loss of a recipe that does not search for one itself, as a fraction; null for no limit.</summary>
    public double? MaxLoss { get; init; }

    /// <summary>Calibration data that <see cref="MaxLoss"/> is measured on.</summary>
    public string Calibration { get; init; } = "";

    /// <summary>The class in the intermediate folder.</summary>
    public string Wrapper => Artifact[..^Extension.Length] + ".g.cs";

    /// <summary>What the artifact was made from, see <see cref="CompileStamp"/>.</summary>
    public string Stamp => Artifact + ".inputs.json";

    /// <summary>The extension of artifacts.</summary>
    public const string Extension = ".mpack";

    private const char Separator = '\u001f';

    /// <summary>A short name for everything that decides how an artifact is made, apart from the bytes of its inputs.</summary>
    public static string Key(params IEnumerable<string> parts) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join(Separator, parts))))[..12];

    /// <summary>As an item, for the way through the build.</summary>
    public ITaskItem ToItem() => new TaskItem(Artifact, new Dictionary<string, string>
    {
        [nameof(Model)] = Escape(Model),
        [nameof(Link)] = Escape(Link),
        ["TargetPath"] = Escape(Link),
        [nameof(Wrapper)] = Escape(Wrapper),
        [nameof(ClassName)] = ClassName,
        [nameof(Arguments)] = Escape(string.Join(Separator, Arguments)),
        [nameof(OtherInputs)] = Escape(string.Join(Separator, OtherInputs)),
        [nameof(MaxLoss)] = MaxLoss?.ToString("R", System.Globalization.CultureInfo.InvariantCulture) ?? "",
        [nameof(Calibration)] = Escape(Calibration),
    });

    /// <summary>The way back from <see cref="ToItem"/>.</summary>
    public static PlannedModel FromItem(ITaskItem item) => new()
    {
        Model = item.GetMetadata(nameof(Model)),
        Artifact = item.ItemSpec,
        Link = item.GetMetadata(nameof(Link)),
        ClassName = item.GetMetadata(nameof(ClassName)),
        Arguments = Split(item.GetMetadata(nameof(Arguments))),
        OtherInputs = Split(item.GetMetadata(nameof(OtherInputs))),
        MaxLoss = item.GetMetadata(nameof(MaxLoss)) is { Length: > 0 } loss ? double.Parse(loss, System.Globalization.CultureInfo.InvariantCulture) : null,
        Calibration = item.GetMetadata(nameof(Calibration)),
    };

    private static string[] Split(string text) => text.Split(Separator, StringSplitOptions.RemoveEmptyEntries);

    private static string Escape(string value) => value.Replace("%", "%25", StringComparison.Ordinal).Replace(";", "%3B", StringComparison.Ordinal);
}
