namespace ModelPack.Containers;

/// <summary>Where a path that came out of an untrusted file really leads.</summary>
internal static class ContainedPath
{
    /// <summary>As many links as common systems follow before they call it a circle.</summary>
    private const int MaxLinks = 40;

    /// <summary>What is wrong with a relative path before any file is looked at.</summary>
    public enum Problem
    {
        None,
        Absolute,
        Outside,
    }

    /// <summary>
    /// Accepts forward-slash relative paths of plain segments only: no <c>.</c>, <c>..</c>, empty segment, backslash, colon or control
    /// character, so that the same text means the same place on every system.
    /// </summary>
    public static Problem Check(string relativePath)
    {
        if (relativePath.StartsWith('/') || relativePath.StartsWith('\\') || (relativePath.Length > 1 && relativePath[1] == ':' && char.IsAsciiLetter(relativePath[0])))
        {
            return Problem.Absolute;
        }

        foreach (char c in relativePath)
        {
            if (c is '\\' or ':' || char.IsControl(c))
            {
                return Problem.Outside;
            }
        }

        return Array.Exists(relativePath.Split('/'), s => s is "" or "." or "..") ? Problem.Outside : Problem.None;
    }

    /// <summary>True when <paramref name="path"/>, all symbolic links followed, lies in one of <paramref name="roots"/> (real paths) or is one of them.</summary>
    /// <exception cref="IOException">Links form a circle.</exception>
    public static bool LiesBelow(string path, params ReadOnlySpan<string> roots)
    {
        string real = RealPath(path);
        foreach (string root in roots)
        {
            if (real == root || real.StartsWith(Path.EndsInDirectorySeparator(root) ? root : root + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The absolute path with every symbolic link of every segment followed. What does not exist is kept as it is.</summary>
    /// <exception cref="IOException">Links form a circle.</exception>
    public static string RealPath(string path)
    {
        string full = Path.GetFullPath(path);
        string current = Path.GetPathRoot(full)!;
        var rest = new Stack<string>();
        Push(rest, full[current.Length..]);
        int links = 0;
        while (rest.TryPop(out string? segment))
        {
            if (segment == "..")
            {
                current = Path.GetDirectoryName(current) ?? current;
                continue;
            }

            string next = Path.Join(current, segment);
            string? target = new FileInfo(next).LinkTarget;
            if (target is null)
            {
                current = next;
                continue;
            }

            if (++links > MaxLinks)
            {
                throw new IOException($"symbolic links of '{path}' form a circle");
            }

            if (Path.IsPathRooted(target))
            {
                target = Path.GetFullPath(target);
                current = Path.GetPathRoot(target)!;
                target = target[current.Length..];
            }

            Push(rest, target);
        }

        return current;
    }

    private static void Push(Stack<string> rest, string path)
    {
        string[] segments = path.Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries);
        for (int i = segments.Length - 1; i >= 0; i--)
        {
            if (segments[i] != ".")
            {
                rest.Push(segments[i]);
            }
        }
    }
}
