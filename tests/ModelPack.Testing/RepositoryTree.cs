namespace ModelPack.Testing;

/// <summary>Finds the clone the tests were built from, for tests about the tree itself and for the sample models.</summary>
public static class RepositoryTree
{
    /// <summary>The folder that holds <c>ModelPack.sln</c>.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>A path below <see cref="Root"/>.</summary>
    public static string PathTo(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <summary>Source files below the given top-level folders, without build output, in ordinal order.</summary>
    public static IReadOnlyList<string> Files(string pattern, params string[] folders)
    {
        var files = new List<string>();
        foreach (string folder in folders)
        {
            files.AddRange(Directory.EnumerateFiles(PathTo(folder), pattern, SearchOption.AllDirectories).Where(f => !IsBuildOutput(f)));
        }

        files.Sort(StringComparer.Ordinal);
        return files;
    }

    /// <summary>The path below <see cref="Root"/> with forward slashes, for messages.</summary>
    public static string Relative(string path) => Path.GetRelativePath(Root, path).Replace('\\', '/');

    private static bool IsBuildOutput(string path)
    {
        string[] parts = Path.GetRelativePath(Root, path).Split(Path.DirectorySeparatorChar);
        return parts.Any(p => p is "bin" or "obj");
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "ModelPack.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"no ModelPack.sln above {AppContext.BaseDirectory}: tests run from the build output inside the clone");
    }
}
