namespace ModelPack.Containers.Onnx;

/// <summary>
/// The files that hold external tensor data. A location is untrusted: it must name a regular file inside the model's folder, after following links.
/// </summary>
internal sealed class ExternalFiles
{
    private const int MaxLinks = 40;

    private readonly string _modelPath;
    private readonly string _folder;
    private readonly Dictionary<string, MappedFile> _byLocation = new(StringComparer.Ordinal);
    private readonly Dictionary<string, MappedFile> _byPath = new(StringComparer.Ordinal);
    private readonly List<MappedFile> _order = [];

    /// <param name="modelPath">The .onnx file; its folder holds all others.</param>
    /// <param name="model">The same file, open: a location may name it too.</param>
    public ExternalFiles(string modelPath, MappedFile model)
    {
        _modelPath = modelPath;
        string full = Path.GetFullPath(modelPath);
        _folder = Path.GetDirectoryName(full) ?? full;
        _byPath[full] = model;
    }

    /// <summary>All files opened so far, without the model itself, in order of first use.</summary>
    public IReadOnlyList<MappedFile> Opened => _order;

    /// <summary>Opens the file at <paramref name="location"/>, or returns it if it is open.</summary>
    /// <exception cref="ModelPackException">MP1230-1237 when the location is missing or not allowed.</exception>
    public MappedFile Open(string location, string tensor)
    {
        if (_byLocation.TryGetValue(location, out MappedFile? file))
        {
            return file;
        }

        CheckText(location, tensor);
        string relative = string.Join('/', location.Split('/').Where(p => p.Length > 0 && p != "."));
        string full = Path.Combine(_folder, relative);
        if (!_byPath.TryGetValue(full, out file))
        {
            CheckFile(full, location, tensor);
            file = MappedFile.Open(Path.Combine(Path.GetDirectoryName(_modelPath) ?? "", relative));
            _order.Add(file);
            _byPath[full] = file;
        }

        _byLocation[location] = file;
        return file;
    }

    public void Close()
    {
        foreach (MappedFile file in _order)
        {
            file.Dispose();
        }
    }

    private void CheckText(string location, string tensor)
    {
        if (location.Length == 0 || location.Contains('\0', StringComparison.Ordinal))
        {
            throw Error(ErrorCodes.OnnxExternalEntries, "the location is empty or not a path", tensor);
        }

        if (location.Contains('\\', StringComparison.Ordinal))
        {
            throw Error(ErrorCodes.OnnxExternalBackslash, $"location '{location}' contains a backslash", tensor);
        }

        bool drive = location.Length >= 2 && char.IsAsciiLetter(location[0]) && location[1] == ':';
        if (location[0] == '/' || drive || (OperatingSystem.IsWindows() && location.Contains(':', StringComparison.Ordinal)))
        {
            throw Error(ErrorCodes.OnnxExternalAbsolute, $"location '{location}' is not relative to the model's folder", tensor);
        }

        string[] parts = location.Split('/');
        if (parts.Contains(".."))
        {
            throw Error(ErrorCodes.OnnxExternalEscape, $"location '{location}' leaves the model's folder", tensor);
        }

        if (parts.All(p => p.Length == 0 || p == "."))
        {
            throw Error(ErrorCodes.OnnxExternalIrregular, $"location '{location}' is the model's folder itself", tensor);
        }
    }

    private void CheckFile(string full, string location, string tensor)
    {
        string? real;
        string? folder;
        try
        {
            folder = RealPath(_folder);
            real = RealPath(full);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw Error(ErrorCodes.OnnxExternalMissing, $"location '{location}' cannot be followed: {e.Message}", tensor);
        }

        if (folder is null || real is null)
        {
            throw Error(ErrorCodes.OnnxExternalLink, $"location '{location}' goes through more than {MaxLinks} links", tensor);
        }

        string root = folder.EndsWith(Path.DirectorySeparatorChar) ? folder : folder + Path.DirectorySeparatorChar;
        if (!real.StartsWith(root, OperatingSystem.IsWindows() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal))
        {
            throw Error(ErrorCodes.OnnxExternalLink, $"location '{location}' is a link out of the model's folder; copy the file into it", tensor);
        }

        if (!Path.Exists(real))
        {
            throw Error(ErrorCodes.OnnxExternalMissing, $"there is no file '{location}' in the model's folder", tensor);
        }

        if (!UnixFileType.MayBeRegular(real))
        {
            throw Error(ErrorCodes.OnnxExternalIrregular, $"location '{location}' is not a regular file", tensor);
        }
    }

    /// <summary>The path with every link on the way replaced by its target; null for a circle of links.</summary>
    private static string? RealPath(string path)
    {
        string root = Path.GetPathRoot(path) ?? "";
        var rest = new Stack<string>(Split(path[root.Length..]).Reverse());
        string done = root;
        int links = 0;
        while (rest.TryPop(out string? part))
        {
            if (part == "..")
            {
                done = Path.GetDirectoryName(done) ?? root;
                continue;
            }

            string next = Path.Combine(done, part);
            string? target = new FileInfo(next).LinkTarget;
            if (target is null)
            {
                done = next;
                continue;
            }

            if (++links > MaxLinks)
            {
                return null;
            }

            string targetRoot = Path.GetPathRoot(target) ?? "";
            done = targetRoot.Length > 0 ? targetRoot : done;
            foreach (string p in Split(target[targetRoot.Length..]).Reverse())
            {
                rest.Push(p);
            }
        }

        return done;
    }

    private static IEnumerable<string> Split(string path) =>
        path.Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries).Where(p => p != ".");

    private ModelPackException Error(ErrorCode code, string detail, string tensor) => new(code, detail, _modelPath, tensor);
}
