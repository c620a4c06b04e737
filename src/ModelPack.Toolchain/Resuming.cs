using System.IO.Hashing;

namespace ModelPack.Toolchain;

/// <summary>When writing leaves what is finished for the next run of the same command.</summary>
public static class Resuming
{
    /// <summary>Inputs of so many bytes take long enough to be worth it.</summary>
    public const long FromBytes = 1_000_000_000;

    /// <summary>Whether to: as asked, else by the size of the input.</summary>
    internal static bool Wanted(bool? asked, long inputBytes) => asked ?? inputBytes >= FromBytes;

    /// <summary>The journal of an export; null when there is to be none.</summary>
    /// <param name="source">What is exported.</param>
    /// <param name="options">Its options, which the bytes depend on.</param>
    /// <param name="to">The format.</param>
    /// <param name="output">The file or folder.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="ModelPackException">MP4120: another process writes there.</exception>
    internal static OutputJournal? Journal(ExportSource source, ExportOptions options, string to, string output, CancellationToken cancellation)
    {
        if (!Wanted(options.Resume, source.Files.Sum(f => f.LengthBytes)))
        {
            return null;
        }

        // What a tensor of the output is made from may be several of the source, in orders that the export decides: the source is identified whole.
        string identity = string.Join(", ", source.Files.Select(f => Path.GetFileName(f.Path) + " " + Identity(f, source.Reader is not null, cancellation)));
        string asked = $"{options.Form} {options.Others} {options.RoundActivations} {options.MaxShardBytes}";
        string folder = Path.GetDirectoryName(Path.GetFullPath(Path.TrimEndingDirectorySeparator(output)))!;
        using (var folders = new AtomicFiles())
        {
            folders.AddFolder(folder);
            folders.Commit();
        }

        return OutputJournal.Open(output, $"{ArtifactContent.ToolVersion}; {to}; {asked}; {identity}");
    }

    /// <summary>Hash of a file. The end of an artifact holds the hashes of all its chunks.</summary>
    private static string Identity(MappedFile file, bool artifact, CancellationToken cancellation)
    {
        if (!artifact)
        {
            return Provenance.Describe(file, cancellation).Xxh128;
        }

        const int rootBytes = 4096;
        byte[] root = new byte[Math.Min(rootBytes, file.LengthBytes)];
        file.Read(file.LengthBytes - root.Length, root);
        return $"{file.LengthBytes} {Convert.ToHexStringLower(XxHash128.Hash(root))}";
    }
}
