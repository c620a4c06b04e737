using System.IO.Enumeration;

namespace ModelPack.Containers.Checkpoint;

/// <summary>What lies in a checkpoint folder and where it may lead.</summary>
internal sealed class CheckpointFolder
{
    /// <summary>Configuration, tokenizer and documentation: what a loader needs besides tensors, and what a licence wants kept together.</summary>
    private static readonly string[] CarriedNames =
    [
        "config.json", "*_config.json", "config_*.json", "configuration.json", "params.json", "modules.json",
        "tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "chat_template*",
        "*.model", "*.tiktoken", "*.jinja", "README*", "LICENSE*", "LICENCE*", "NOTICE*",
    ];

    /// <summary>Weights in other forms, code and archives are never carried, whatever their names.</summary>
    private static readonly string[] NeverCarried =
    [
        "*.safetensors", "*.index.json", "*.bin", "*.onnx", "*.onnx_data", "*.gguf", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.npz", "*.pkl", "*.mpack",
        "*.py", "*.sh", "*.exe", "*.dll", "*.so", "*.dylib", "*.zip", "*.gz", "*.tmp-*",
    ];

    private readonly string[] _roots;

    private CheckpointFolder(string path, string mainFile)
    {
        Path = path;
        MainFile = mainFile;
        _roots = Roots(path);
    }

    /// <summary>The folder as the user named it.</summary>
    public string Path { get; }

    /// <summary>Name of the index, or of the only file with tensors.</summary>
    public string MainFile { get; }

    /// <summary>True when <see cref="MainFile"/> is an index.</summary>
    public bool IsSharded => IsIndex(MainFile);

    /// <summary>True for the name of an index file.</summary>
    public static bool IsIndex(string name) => name.EndsWith(".safetensors.index.json", StringComparison.Ordinal);

    /// <summary>True when <paramref name="path"/> is a folder with safetensors files, or an index.</summary>
    public static bool Recognizes(string path)
    {
        try
        {
            return Directory.Exists(path)
                ? Directory.EnumerateFiles(path).Any(f => IsIndex(f) || IsTensorFile(f))
                : IsIndex(path) && File.Exists(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>
    /// Finds the checkpoint of a folder. As loaders do, <c>model.safetensors</c> goes before <c>model.safetensors.index.json</c>; without both,
    /// the only index, or else the only file with tensors.
    /// </summary>
    /// <param name="path">The folder, or an index file in it.</param>
    /// <exception cref="ModelPackException">MP1001, MP1002, MP1150, MP1151.</exception>
    public static CheckpointFolder Open(string path)
    {
        if (!Directory.Exists(path))
        {
            return File.Exists(path)
                ? new CheckpointFolder(Parent(path), System.IO.Path.GetFileName(path))
                : throw new ModelPackException(ErrorCodes.FileNotFound, "no such file or folder", path);
        }

        string[] names = FileNames(path);
        string[] indexes = [.. names.Where(IsIndex)];
        string[] candidates = indexes.Length > 0 ? indexes : [.. names.Where(IsTensorFile)];
        foreach (string usual in (ReadOnlySpan<string>)["model.safetensors", "model.safetensors.index.json"])
        {
            if (names.Contains(usual, StringComparer.Ordinal))
            {
                return new CheckpointFolder(path, usual);
            }
        }

        return candidates switch
        {
            [string only] => new CheckpointFolder(path, only),
            [] => throw new ModelPackException(ErrorCodes.CheckpointWithoutTensors, "the folder has no safetensors file", path),
            _ => throw new ModelPackException(
                ErrorCodes.CheckpointAmbiguous, $"the folder has {candidates.Length} checkpoints ({candidates[0]}, {candidates[1]}{(candidates.Length > 2 ? ", ..." : "")}): name one", path),
        };
    }

    /// <summary>Names of the files that are carried along, in ordinal order; those of sentence-transformers' modules, <c>1_Pooling/config.json</c> and the like, behind all others.</summary>
    public IEnumerable<string> CarriedFileNames()
    {
        string[] names = FileNames(Path);
        IEnumerable<string> modules = names.Contains("modules.json", StringComparer.Ordinal) ? ModuleFiles(Path) : [];
        return [.. names.Where(n => n != MainFile && IsCarried(n)), .. modules];
    }

    /// <summary>Opens a file of the checkpoint.</summary>
    /// <param name="relativePath">Path below the folder, possibly from an untrusted index.</param>
    /// <param name="tensor">The tensor for which it is opened, for messages.</param>
    /// <exception cref="ModelPackException">MP1157-MP1160, MP1002.</exception>
    public MappedFile OpenFile(string relativePath, string? tensor = null)
    {
        string main = System.IO.Path.Join(Path, MainFile);
        switch (ContainedPath.Check(relativePath))
        {
            case ContainedPath.Problem.Absolute:
                throw new ModelPackException(ErrorCodes.CheckpointPathAbsolute, $"'{relativePath}' is an absolute path", main, tensor);
            case ContainedPath.Problem.Outside:
                throw new ModelPackException(ErrorCodes.CheckpointPathOutside, $"'{relativePath}' is not plainly below the folder", main, tensor);
        }

        string path = System.IO.Path.Join(Path, relativePath);
        if (!StaysInside(path))
        {
            throw new ModelPackException(ErrorCodes.CheckpointLinkOutside, "a symbolic link leads out of the checkpoint folder", path, tensor);
        }

        return File.Exists(path)
            ? MappedFile.Open(path)
            : throw new ModelPackException(ErrorCodes.ShardMissing, $"'{relativePath}' does not exist", main, tensor);
    }

    /// <summary>True for files that go with the tensors unchanged.</summary>
    internal static bool IsCarried(string name) =>
        !Array.Exists(NeverCarried, p => FileSystemName.MatchesSimpleExpression(p, name))
        && Array.Exists(CarriedNames, p => FileSystemName.MatchesSimpleExpression(p, name, ignoreCase: false));

    /// <summary>Configurations in folders that begin with a number and an underscore, and the weights of dense layers behind pooling, which are no part of the graph.</summary>
    private static IEnumerable<string> ModuleFiles(string folder)
    {
        try
        {
            return
            [
                .. Directory.EnumerateDirectories(folder).Select(d => System.IO.Path.GetFileName(d)!)
                    .Where(d => d.IndexOf('_', StringComparison.Ordinal) is > 0 and int end && d.AsSpan(0, end).IndexOfAnyExceptInRange('0', '9') < 0 && File.Exists(System.IO.Path.Join(folder, d, "config.json")))
                    .Order(StringComparer.Ordinal)
                    .SelectMany(d => d.EndsWith("_Dense", StringComparison.Ordinal) && File.Exists(System.IO.Path.Join(folder, d, "model.safetensors")) ? (string[])[$"{d}/config.json", $"{d}/model.safetensors"] : [$"{d}/config.json"]),
            ];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, $"cannot be listed: {e.Message}", folder, innerException: e);
        }
    }

    private static bool IsTensorFile(string name) => name.EndsWith(".safetensors", StringComparison.Ordinal);

    private static string Parent(string path) => System.IO.Path.GetDirectoryName(path) is { Length: > 0 } folder ? folder : ".";

    private static string[] FileNames(string folder)
    {
        try
        {
            string[] names = [.. Directory.EnumerateFiles(folder).Select(f => System.IO.Path.GetFileName(f)!)];
            Array.Sort(names, StringComparer.Ordinal);
            return names;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelPackException(ErrorCodes.FileUnreadable, $"cannot be listed: {e.Message}", folder, innerException: e);
        }
    }

    private bool StaysInside(string path)
    {
        try
        {
            return ContainedPath.LiesBelow(path, _roots);
        }
        catch (IOException)
        {
            return false; // links in a circle lead nowhere
        }
    }

    /// <summary>
    /// Where files may really lie: the folder and, for a snapshot in the hub's download cache (<c>snapshots/revision/</c>, all links),
    /// the <c>blobs</c> folder next to <c>snapshots</c>.
    /// </summary>
    private static string[] Roots(string folder)
    {
        string real = ContainedPath.RealPath(folder);
        string? snapshots = System.IO.Path.GetDirectoryName(real);
        return snapshots is not null && System.IO.Path.GetFileName(snapshots) == "snapshots"
            ? [real, System.IO.Path.Join(System.IO.Path.GetDirectoryName(snapshots), "blobs")]
            : [real];
    }
}
