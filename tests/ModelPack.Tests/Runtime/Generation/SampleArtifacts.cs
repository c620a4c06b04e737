using ModelPack.Architectures;
using ModelPack.Testing;
using ModelPack.Toolchain;

namespace ModelPack.Tests.Runtime.Generation;

/// <summary>The sample checkpoint in int4, with and without a cache.</summary>
public sealed class SampleArtifacts : IDisposable
{
    private readonly TempFolder _folder = new();

    public SampleArtifacts()
    {
        Cached = Compile("cached.mpack", cache: true);
        Full = Compile("full.mpack", cache: false);
    }

    public static string Folder { get; } = RepositoryTree.PathTo("samples", "models", "tinyllama");

    public string Cached { get; }

    public string Full { get; }

    public void Dispose() => _folder.Dispose();

    private string Compile(string name, bool cache)
    {
        ModelCompiler.Compile(new CompileRequest { Input = Folder, Output = _folder[name], Recipe = "int4", Form = cache ? GraphForm.Cached : GraphForm.Full });
        return _folder[name];
    }
}
