using ModelPack.EndToEnd.Tests.Cli;
using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Packages;

/// <summary>A little project in a folder of its own, as a user would write it: console program, two package references, one item.</summary>
internal sealed class PackedProject : IDisposable
{
    public const string DefaultItem = """<PackedModel Include="models/*.onnx" Recipe="int8" TargetProfile="host" />""";

    private const string ThreeLines = """
        using var model = Demo.ClassifierModel.Open();
        var result = model.Run(new float[256]);
        Console.WriteLine($"y {result.YShape} {result.Y[0]}");
        """;

    private readonly PackageFeed _feed;
    private readonly TempFolder _folder;

    public PackedProject(PackageFeed feed, string item = DefaultItem, string program = ThreeLines, string properties = "")
    {
        _feed = feed;
        _folder = feed.NewProjectFolder();
        Write(item, properties);
        _folder.Write("Program.cs", program);
        File.Move(SmallModel.Write(_folder), Directory.CreateDirectory(_folder["models"]).FullName + "/classifier.onnx");
    }

    public string Path => _folder.Path;

    public string this[string relativePath] => _folder[relativePath];

    /// <summary>Writes the project file anew, with other items or properties.</summary>
    public void Write(string items, string properties = "") => _folder.Write("demo.csproj", $"""
        <Project Sdk="Microsoft.NET.Sdk">
          <PropertyGroup>
            <OutputType>Exe</OutputType>
            <TargetFramework>net10.0</TargetFramework>
            <RootNamespace>Demo</RootNamespace>
            <ImplicitUsings>enable</ImplicitUsings>
            <Nullable>enable</Nullable>
            {properties}
          </PropertyGroup>
          <ItemGroup>
            <PackageReference Include="ModelPack.Runtime" Version="{_feed.Version}" />
            <PackageReference Include="ModelPack.MSBuild" Version="{_feed.Version}" PrivateAssets="all" />
            {items}
          </ItemGroup>
        </Project>
        """);

    /// <summary>Artifacts in the intermediate folder.</summary>
    public string[] Artifacts => Intermediate("*.mpack");

    /// <summary>Files in the intermediate folder of artifacts, whatever they are.</summary>
    public string[] Intermediate(string pattern) =>
        Directory.Exists(this["obj/modelpack"]) ? Directory.GetFiles(this["obj/modelpack"], pattern, SearchOption.AllDirectories) : [];

    /// <summary>Builds, tells how many models were up to date out of how many, and in what time.</summary>
    public (int Current, int All, double Milliseconds) Build(params string[] more)
    {
        string output = _feed.DotnetOk(Path, ["build", "-v:detailed", .. more]);
        System.Text.RegularExpressions.Match match = System.Text.RegularExpressions.Regex.Match(output, @"(\d+) of (\d+) models are up to date, ([\d.]+) ms");
        Assert.True(match.Success, output);
        return (Number(1, int.Parse), Number(2, int.Parse), Number(3, double.Parse));

        T Number<T>(int group, Func<string, IFormatProvider, T> parse) => parse(match.Groups[group].Value, System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Builds what cannot be built: the lines with errors, each once.</summary>
    public string[] Errors(params string[] more)
    {
        CliRun run = _feed.Dotnet(Path, ["build", "-v:quiet", "-clp:NoSummary", .. more]);
        Assert.True(run.ExitCode != 0, run.Out);
        return [.. run.Out.Split('\n').Where(l => l.Contains(": error ", StringComparison.Ordinal)).Select(l => l.Trim()).Distinct()];
    }

    public string Run(params string[] args) => _feed.DotnetOk(Path, ["run", "--no-build", .. args]);

    public void Dispose() => _folder.Dispose();
}
