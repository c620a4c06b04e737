
namespace ModelPack.EndToEnd.Tests;

public sealed class NpmPackagesTests
{
    [SkippableFact]
    public void Ocr_models_hold_the_expected_files() => AssertFiles(NpmPackage.OcrModels);

    [SkippableFact]
    public void Vad_web_holds_the_expected_files() => AssertFiles(NpmPackage.VadWeb);

    [Fact]
    public void Unknown_package_gives_a_reason()
    {
        var package = new NpmPackage("not a package name", "0", "", []);
        Assert.False(NpmPackages.TryGet(package, out _, out string reason));
        Assert.Contains("not a package name@0 cannot be fetched", reason, StringComparison.Ordinal);
    }

    private static void AssertFiles(NpmPackage package)
    {
        string folder = NpmPackages.Require(package);
        string[] files = [.. Directory.GetFiles(folder, "*.onnx", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(folder, f).Replace('\\', '/')).Order(StringComparer.Ordinal)];
        Assert.Equal(package.Files, files);
        Assert.True(NpmPackages.TryGet(package, out string again, out _));
        Assert.Equal(folder, again);
    }
}
