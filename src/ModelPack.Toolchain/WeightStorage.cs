using ModelPack.Runtime;

namespace ModelPack.Toolchain;

/// <summary>Where weights of an artifact are kept while it runs, and from one run to the next.</summary>
/// <param name="ResidentBytes">Memory for them, see <see cref="ModelSessionOptions.ResidentBytes"/>; null: as much as they take.</param>
/// <param name="PreparedFolder">Folder where they are kept decoded, see <see cref="ModelSessionOptions.PreparedFolder"/>; null: nowhere.</param>
/// <param name="OnWarning">Told of a file there that has to be made again.</param>
public sealed record WeightStorage(long? ResidentBytes = null, string? PreparedFolder = null, Action<string>? OnWarning = null)
{
    internal static ModelSessionOptions Options(int threads, WeightStorage? weights) => new()
    {
        Threads = threads,
        ResidentBytes = weights?.ResidentBytes,
        PreparedFolder = weights?.PreparedFolder,
        OnWarning = weights?.OnWarning,
    };
}
