namespace ModelPack.Compiler.Calibration;

/// <summary>Runs the model that is being compiled on the user's calibration data. Given to passes by the host, which has a runtime.</summary>
public interface ICalibrator
{
    /// <summary>What the data are.</summary>
    CalibrationInfo Info { get; }

    /// <summary>False when there are statistics only, of the float model, and no data to run: <see cref="Begin"/> is not possible then.</summary>
    bool CanRun { get; }

    /// <summary>
    /// Statistics of the activations of the model as it is, from the cache when the same model was calibrated on the same data before.
    /// </summary>
    /// <param name="model">The model; with a graph.</param>
    /// <param name="taps">What to collect, in any order.</param>
    /// <returns>By key of the tap; read lazily where they are large, valid until disposed.</returns>
    /// <exception cref="ModelPackException">MP221x: the data do not fit the model, or activations are not finite.</exception>
    ICalibrationStatistics Collect(Model model, IReadOnlyList<CalibrationTap> taps);

    /// <summary>Begins to run the model piece by piece, for statistics of layers whose inputs come from layers that were compressed before.</summary>
    /// <param name="model">The model; with a graph.</param>
    /// <param name="withReference">True to run the model as it is alongside, for taps that want <see cref="CalibrationTap.Drift"/>.</param>
    /// <exception cref="ModelPackException">MP221x: the data do not fit the model.</exception>
    ICalibrationRun Begin(Model model, bool withReference);

    /// <summary>Measures what the model loses when weights are replaced; null when there are statistics only.</summary>
    /// <param name="model">The model as it is; with a graph.</param>
    /// <exception cref="ModelPackException">MP2213: the data do not fit the model.</exception>
    ILossProbe? Probe(Model model) => null;

    /// <summary>
    /// Says that a model computes what another one does, up to rounding, but that each channel of some values is divided by a factor. Where there are statistics only, those of the first model then serve for the second,
    /// divided likewise. Data can be run through the second one, and nothing needs to be done: that is what happens unless a calibrator says otherwise.
    /// </summary>
    /// <param name="from">The model that statistics were taken of.</param>
    /// <param name="to">The model with the divided values.</param>
    /// <param name="divisors">By name of the value, a factor for each channel of its last axis.</param>
    void Rescale(Model from, Model to, IReadOnlyDictionary<string, double[]> divisors)
    {
    }
}

/// <summary>Measures losses on a part of the calibration data.</summary>
public interface ILossProbe : IDisposable
{
    /// <summary>True when the loss is a divergence of predicted tokens in nats; false when it is noise over power of the outputs.</summary>
    bool IsLanguageModel { get; }

    /// <summary>The loss with some weights replaced.</summary>
    /// <param name="replaced">Weights by name.</param>
    double Measure(IReadOnlyDictionary<string, Tensor> replaced);
}

/// <summary>Statistics of several taps.</summary>
public interface ICalibrationStatistics : IDisposable
{
    /// <summary>The statistics of a tap, by its <see cref="CalibrationTap.Key"/>: for all but convolutions, the value's name.</summary>
    /// <exception cref="KeyNotFoundException">It was not among the taps.</exception>
    ActivationStatistics this[string key] { get; }
}

/// <summary>A run that stands between two nodes of the graph, with the values that the nodes after it need of every sample.</summary>
public interface ICalibrationRun : IDisposable
{
    /// <summary>Runs all samples on until the taps are known and gives their statistics.</summary>
    /// <param name="taps">Taps that lie at or after the present position.</param>
    /// <param name="replaced">Initializers to use from here on instead of the model's, by name; those of earlier calls stay in use.</param>
    /// <exception cref="ModelPackException">MP221x: activations are not finite or have an unforeseen shape.</exception>
    ICalibrationStatistics Advance(IReadOnlyList<CalibrationTap> taps, IReadOnlyDictionary<string, Tensor> replaced);
}

/// <summary>What calibration data are; recorded in the artifact.</summary>
/// <param name="Kind"><c>tokens</c>, <c>npy</c> or <c>statistics</c>.</param>
/// <param name="Name">File or folder name without path.</param>
/// <param name="Xxh128">XXH3-128 of all their bytes, hexadecimal.</param>
/// <param name="Samples">How many samples are run.</param>
/// <param name="Window">Tokens per sample, 0 for other kinds.</param>
public sealed record CalibrationInfo(string Kind, string Name, string Xxh128, int Samples, int Window);
