namespace ModelPack.Codecs;

/// <summary>All lossless codecs by wire id. Wire ids are never reused.</summary>
public static class Codecs
{
    public static IReadOnlyList<ICodec> All { get; } =
    [
    ];

    /// <exception cref="ModelPackException">MP1021: no such codec.</exception>
    public static ICodec Get(string id) =>
        All.FirstOrDefault(c => c.Id == id) ?? throw new ModelPackException(ErrorCodes.UnknownUnit, $"unknown codec '{id}'");
}
