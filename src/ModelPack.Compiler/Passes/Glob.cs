namespace ModelPack.Compiler;

/// <summary>
/// Name patterns of recipes: <c>*</c> stands for any run of characters (dots and slashes too; <c>**</c> is the same), <c>?</c> for
/// one character, everything else for itself. Ordinal, case matters, the whole name must match.
/// </summary>
public static class Glob
{
    /// <summary>True when <paramref name="name"/> matches. Time is at most pattern length x name length.</summary>
    public static bool IsMatch(string pattern, string name)
    {
        int p = 0;
        int n = 0;
        int star = -1;
        int resume = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                star = p++;
                resume = n;
            }
            else if (p < pattern.Length && (pattern[p] == '?' || pattern[p] == name[n]))
            {
                p++;
                n++;
            }
            else if (star >= 0)
            {
                p = star + 1;
                n = ++resume;
            }
            else
            {
                return false;
            }
        }

        while (p < pattern.Length && pattern[p] == '*')
        {
            p++;
        }

        return p == pattern.Length;
    }
}
