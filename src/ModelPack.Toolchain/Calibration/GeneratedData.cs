using System.Globalization;
using ModelPack.Compiler;

namespace ModelPack.Toolchain;

/// <summary>
/// Calibration data made for a model when there are none: <c>generate:images(size=48x320)</c> or <c>generate:text(samples=16)</c>. They are written to a temporary place, and from there on are data as any other, under
/// a name that says what they are.
/// </summary>
internal sealed class GeneratedData : IDisposable
{
    private const string Prefix = "generate:";
    private const string NamePrefix = "generated-";
    private readonly string _folder;

    private GeneratedData(string folder, string path, int window)
    {
        _folder = folder;
        Path = path;
        Window = window;
    }

    /// <summary>Tokens per sample; 0 for images.</summary>
    public int Window { get; }

    /// <summary>A token file or a folder of .npy inputs.</summary>
    public string Path { get; }

    /// <summary>True for a specification of data to make, as opposed to a path.</summary>
    public static bool Recognizes(string? data) => data is not null && data.StartsWith(Prefix, StringComparison.Ordinal);

    /// <summary>The specification of data of that recorded name; null for data that were not generated.</summary>
    public static string? SpecificationOf(string? name) => name is not null && name.StartsWith(NamePrefix, StringComparison.Ordinal) ? Prefix + name[NamePrefix.Length..] : null;

    /// <summary>Makes the data if they are to be made; null for a path, and for no data.</summary>
    public static GeneratedData? MakeIfAsked(string? data, string input, Model model, CalibrationLimits limits) =>
        Recognizes(data) ? Make(data!, input, model, limits) : null;

    /// <summary>Makes the data.</summary>
    /// <param name="specification">What to make.</param>
    /// <param name="input">The model's file.</param>
    /// <param name="model">The model.</param>
    /// <param name="limits">Threads, cancellation, progress.</param>
    /// <exception cref="ModelPackException">MP1022: a wrong argument. MP2213: the model does not take such data.</exception>
    public static GeneratedData Make(string specification, string input, Model model, CalibrationLimits limits)
    {
        UnitSpec spec = UnitSpec.Parse(specification[Prefix.Length..]);
        if (model.Kind != ModelKind.Onnx)
        {
            throw new ModelPackException(ErrorCodes.CalibrationNeedsGraph, "a checkpoint has no graph that could be run on calibration data: compile the model as .onnx", input);
        }

        string folder = Directory.CreateTempSubdirectory("modelpack-").FullName;
        try
        {
            string path = System.IO.Path.Combine(folder, NamePrefix + spec);
            switch (spec.Id)
            {
                case "images":
                    GeneratedImages.Write(path, spec, input, model, limits);
                    break;
                case "text":
                    GeneratedText.Write(path, spec, input, limits);
                    break;
                default:
                    throw new ModelPackException(ErrorCodes.BadUnitArgument, $"'{Prefix}{spec.Id}' is nothing that can be generated: {Prefix}images or {Prefix}text");
            }

            return new GeneratedData(folder, path, spec.Id == "text" ? spec.Int("window", GeneratedText.DefaultWindow, 2, 1 << 16) : 0);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>The options for reading the data: all of them.</summary>
    public CalibrationOptions Read(CalibrationOptions options) => options with { Samples = 0, Window = Window > 0 ? Window : options.Window };

    /// <summary>What the user should know about such data.</summary>
    public static string Warning(string specification) => string.Create(
        CultureInfo.InvariantCulture, $"calibrated on {NamePrefix}{UnitSpec.Parse(specification[Prefix.Length..]).Id}, not on data of the task: measure the result on real data before you rely on it");

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
