using System.Buffers;

namespace ModelPack.Pack;

/// <summary>Which paths of a file table may be written.</summary>
internal static class RestorePaths
{
    private static readonly SearchValues<char> Forbidden = SearchValues.Create("\\:*?\"<>|\0");

    /// <summary>True for relative paths with forward slashes that stay inside their folder on every system.</summary>
    public static bool IsSafe(string path)
    {
        if (path.Length is 0 or > 4096 || path.AsSpan().ContainsAny(Forbidden))
        {
            return false;
        }

        foreach (string part in path.Split('/'))
        {
            if (part.Length == 0 || part is "." or ".." || part.Any(char.IsControl) || part[^1] is ' ' or '.')
            {
                return false;
            }
        }

        return true;
    }
}
