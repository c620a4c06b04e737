namespace ModelPack.Cli;

/// <summary>A file to write to, possibly a temporary one whose content goes to stdout at the end.</summary>
internal sealed class SpooledSink(string path, string? temporaryFolder) : IDisposable
{
    public string Path { get; } = path;

    /// <summary>What to call it in results.</summary>
    public string Shown { get; } = temporaryFolder is null ? path : StandardStreams.Dash;

    /// <summary>Copies the finished file to stdout, if that is where it goes.</summary>
    public void Complete()
    {
        if (temporaryFolder is not null)
        {
            using Stream output = Console.OpenStandardOutput();
            using FileStream file = File.OpenRead(Path);
            file.CopyTo(output, 1 << 20);
        }
    }

    public void Dispose()
    {
        if (temporaryFolder is not null)
        {
            Directory.Delete(temporaryFolder, recursive: true);
        }
    }
}
