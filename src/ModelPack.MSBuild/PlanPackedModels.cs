using System.Globalization;
using System.Text;
using Microsoft.Build.Framework;
using MSBuildTask = Microsoft.Build.Utilities.Task;

namespace ModelPack.MSBuild;

/// <summary>Says for every <c>PackedModel</c> item where its artifact and class will be and how they are made. Reads no file; design-time builds run it too.</summary>
public sealed class PlanPackedModels : MSBuildTask
{
    private const string Auto = "auto";

    /// <summary>The items of the project.</summary>
    [Required]
    public ITaskItem[] Models { get; set; } = [];

    /// <summary>Full path of the project file: items are relative to its folder, diagnostics without a better place name it.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <summary>Folder for artifacts, shared by all configurations, frameworks and runtime identifiers.</summary>
    [Required]
    public string IntermediateFolder { get; set; } = "";

    /// <summary>Version of the tool, to the commit.</summary>
    [Required]
    public string ToolVersion { get; set; } = "";

    /// <summary>Namespace of classes whose item does not name one.</summary>
    public string RootNamespace { get; set; } = "";

    /// <summary>One item for every model: the artifact, with what else is known of it as metadata.</summary>
    [Output]
    public ITaskItem[] Planned { get; set; } = [];

    /// <inheritdoc/>
    public override bool Execute()
    {
        List<PlannedModel> planned = [.. Models.Select(Plan).OfType<PlannedModel>()];
        Report(planned.GroupBy(p => p.Link, StringComparer.OrdinalIgnoreCase), "would be copied to");
        Report(planned.GroupBy(p => p.ClassName, StringComparer.Ordinal), "would make the class");
        Planned = [.. planned.Select(p => p.ToItem())];
        return !Log.HasLoggedErrors;
    }

    private void Report(IEnumerable<IGrouping<string, PlannedModel>> groups, string would)
    {
        foreach (IGrouping<string, PlannedModel> group in groups.Where(g => g.Count() > 1))
        {
            Diagnostics.Error(Log, ErrorCodes.ItemsCollide, ProjectFile, $"{string.Join(" and ", group.Select(p => Path.GetFileName(p.Model)))} {would} {group.Key}: give one of them Link or ClassName");
        }
    }

    private PlannedModel? Plan(ITaskItem item)
    {
        string model = Path.TrimEndingDirectorySeparator(InProject(item.ItemSpec));
        string recipe = Resolved(item.GetMetadata("Recipe"));
        string calibration = Resolved(item.GetMetadata("Calibration"));
        string maxLoss = item.GetMetadata("MaxLoss");
        bool searches = recipe is "" or Auto;
        double? limit = null;
        if (maxLoss.Length > 0 && !searches)
        {
            limit = Fraction(maxLoss);
            if (limit is null || !Path.IsPathRooted(calibration))
            {
                Diagnostics.Error(Log, ErrorCodes.BadItem, ProjectFile, limit is null
                    ? $"{item.ItemSpec}: MaxLoss is a percentage such as 1%, not '{maxLoss}'"
                    : $"{item.ItemSpec}: MaxLoss with recipe '{item.GetMetadata("Recipe")}' is measured on calibration data: name a token file or a folder that exists with Calibration");
                return null;
            }
        }

        List<string> arguments = [];
        Add(arguments, "--recipe", recipe);
        Add(arguments, "--target", item.GetMetadata("TargetProfile"));
        Add(arguments, "--calibration", calibration);
        Add(arguments, "--max-loss", searches ? maxLoss : "");
        Add(arguments, "--target-bits", item.GetMetadata("TargetBits"));
        Add(arguments, "--target-size", item.GetMetadata("TargetSize"));
        foreach (string set in item.GetMetadata("Set").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            Add(arguments, "--set", set);
        }

        arguments.AddRange(item.GetMetadata("Options").Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        string link = item.GetMetadata("Link") is { Length: > 0 } wanted ? wanted.Replace('\\', '/') : DefaultLink(model);
        string className = ClassName(item, model);
        string key = PlannedModel.Key([ToolVersion, model, link, className, maxLoss, .. arguments]);
        return new PlannedModel
        {
            Model = model,
            Artifact = Path.Combine(InProject(IntermediateFolder), key, Path.GetFileNameWithoutExtension(link) + PlannedModel.Extension),
            Link = link,
            ClassName = className,
            Arguments = arguments,
            OtherInputs = [.. new[] { recipe, calibration }.Where(Path.IsPathRooted)],
            MaxLoss = limit,
            Calibration = calibration,
        };
    }

    private static void Add(List<string> arguments, string option, string value)
    {
        if (value.Length > 0)
        {
            arguments.Add(option);
            arguments.Add(value);
        }
    }

    /// <summary>A name stays a name, a path that exists becomes a full one: the tool runs in another folder.</summary>
    private string Resolved(string nameOrPath) => nameOrPath.Length > 0 && Path.Exists(InProject(nameOrPath)) ? InProject(nameOrPath) : nameOrPath;

    private string InProject(string path) => Path.GetFullPath(path.Replace('\\', '/'), Path.GetDirectoryName(Path.GetFullPath(ProjectFile))!);

    /// <summary>The path within the project with another extension; models from elsewhere lose their folder.</summary>
    private string DefaultLink(string model)
    {
        string relative = Path.GetRelativePath(Path.GetDirectoryName(Path.GetFullPath(ProjectFile))!, model);
        relative = relative.StartsWith("..", StringComparison.Ordinal) || Path.IsPathRooted(relative) ? Path.GetFileName(model) : relative;
        return Path.ChangeExtension(relative, PlannedModel.Extension).Replace('\\', '/');
    }

    private string ClassName(ITaskItem item, string model)
    {
        string name = item.GetMetadata("ClassName");
        if (name.Contains('.', StringComparison.Ordinal))
        {
            return name;
        }

        string space = item.GetMetadata("Namespace") is { Length: > 0 } given ? given : RootNamespace;
        name = name.Length > 0 ? name : DefaultClassName(Path.GetFileNameWithoutExtension(model));
        return space.Length > 0 ? $"{space}.{name}" : name;
    }

    /// <summary><c>text-recogniser_v2</c> becomes <c>TextRecogniserV2Model</c>.</summary>
    internal static string DefaultClassName(string fileName)
    {
        var name = new StringBuilder();
        bool starts = true;
        foreach (char c in fileName)
        {
            if (!char.IsLetterOrDigit(c))
            {
                starts = true;
                continue;
            }

            name.Append(starts ? char.ToUpperInvariant(c) : c);
            starts = false;
        }

        string prefix = name.Length == 0 || char.IsDigit(name[0]) ? "_" : "";
        string suffix = name.ToString().EndsWith("Model", StringComparison.Ordinal) ? "" : "Model";
        return prefix + name + suffix;
    }

    private static double? Fraction(string text)
    {
        bool percent = text.EndsWith('%');
        return double.TryParse(percent ? text[..^1] : text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0
            ? value / (percent ? 100 : 1)
            : null;
    }
}
