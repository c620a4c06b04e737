namespace ModelPack.Toolchain;

/// <summary>Where results that may be needed again are kept: below <c>MODELPACK_CACHE</c>, or in the user's folder for application data.</summary>
internal static class CacheFolder
{
    /// <summary>The folder for one kind of results; it need not exist.</summary>
    public static string Of(string kind)
    {
        string? named = Environment.GetEnvironmentVariable("MODELPACK_CACHE");
        string root = string.IsNullOrEmpty(named) ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "modelpack") : named;
        return Path.Combine(root, kind);
    }
}
