using System.CommandLine;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>Options of commands that calibrate.</summary>
/// <param name="Data">The data.</param>
/// <param name="Samples">How many samples.</param>
/// <param name="Window">Tokens per sample.</param>
/// <param name="Cache">Where statistics are kept.</param>
internal sealed record CalibrationArguments(Option<string?> Data, Option<int> Samples, Option<int> Window, Option<string?> Cache)
{
    public static CalibrationArguments Create() => new(
        new Option<string?>("--calibration") { Description = "Calibration data for recipes that use them: a token file, a folder of .npy inputs (or of one such folder per sample), statistics made by 'modelpack calibrate', or data to make: generate:images(size=224x224) or generate:text(samples=16)", HelpName = "data" },
        NumberOption.Create("--calibration-samples", "Samples of the calibration data to use, the first ones; 0: all", 0, 0, int.MaxValue),
        NumberOption.Create("--calibration-window", "Tokens per sample of a token file", 256, 2, 1 << 20),
        new Option<string?>("--calibration-cache") { Description = "Folder for statistics that can be used again, or none; by default a folder of the user's cache", HelpName = "folder|none" });

    public CalibrationOptions Options(Session session) => new()
    {
        Samples = session.Get(Samples),
        Window = session.Get(Window),
        CacheFolder = session.Get(Cache),
        NoCache = session.Get(Cache) == "none",
    };
}
