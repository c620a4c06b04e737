namespace ModelPack.Cli;

/// <summary>A file to read from, possibly a temporary copy of stdin.</summary>
internal sealed class SpooledSource(string path, string? temporaryFolder) : IDisposable
{
    public string Path { get; } = path;

    /// <summary>What to call it in results.</summary>
    public string Shown { get; } = temporaryFolder is null ? path : StandardStreams.Dash;

    public void Dispose()
    {
        if (temporaryFolder is not null)
        {
            Directory.Delete(temporaryFolder, recursive: true);
        }
    }
}
