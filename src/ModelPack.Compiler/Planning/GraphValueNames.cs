using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>New value names.</summary>
internal static class GraphValueNames
{
    /// <summary>A name that is not among <paramref name="taken"/>, made from <paramref name="stem"/>; it is taken from now on.</summary>
    public static string Fresh(HashSet<string> taken, string stem)
    {
        string name = stem;
        for (int i = 2; !taken.Add(name); i++)
        {
            name = string.Create(CultureInfo.InvariantCulture, $"{stem}_{i}");
        }

        return name;
    }
}
