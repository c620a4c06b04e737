namespace ModelPack.Toolchain;

/// <summary>Which part of the calibration data is run, and how.</summary>
public sealed record CalibrationOptions
{
    /// <summary>Most samples to run; the first ones of the data. 0: all.</summary>
    public int Samples { get; init; }

    /// <summary>Tokens per sample of a token file.</summary>
    public int Window { get; init; } = 256;

    /// <summary>Folder for statistics that may be used again; null for the user's cache folder.</summary>
    public string? CacheFolder { get; init; }

    /// <summary>True to compute statistics anew even where the cache has them, and to leave none behind.</summary>
    public bool NoCache { get; init; }
}
