using ModelPack.Compiler.Calibration;

namespace ModelPack.Compiler;

/// <summary>What a pass may use besides the model: settings, services, and a place for diagnostics and measurements. Never the console.</summary>
public sealed class PassContext
{
    private readonly List<Diagnostic> _diagnostics = [];
    private readonly List<Measurement> _measurements = [];
    private readonly Lock _lock = new();

    /// <summary>The seed of the whole compilation; the same seed gives the same bytes.</summary>
    public ulong Seed { get; init; }

    /// <summary>Seed for the random choices of the pass that is running: derived by the manager from <see cref="Seed"/>, the pass and its position.</summary>
    public ulong PassSeed { get; internal set; }

    /// <summary>Measures the seconds of each pass; null when nobody wants to know. Never influences results.</summary>
    public TimeProvider? Time { get; init; }

    /// <summary>Worker threads a pass may use; must not influence results.</summary>
    public int Threads { get; init; } = 1;

    /// <summary>Bytes a pass may hold at once.</summary>
    public long MaxMemoryBytes { get; init; } = 1L << 30;

    /// <summary>Evaluates constant subgraphs; null when the host has none (folding is then limited to what passes compute themselves).</summary>
    public IConstantEvaluator? ConstantEvaluator { get; init; }

    /// <summary>Opens an encoding for reading values, for passes that look at weights.</summary>
    public required Func<WeightEncoding, IValueReader> OpenValues { get; init; }

    /// <summary>Binds a number format to a shape: gives sizes, and the verifier its check of encodings. Null: such checks are left out.</summary>
    public Func<UnitSpec, Shape, IBoundNumberFormat>? BindFormat { get; init; }

    /// <summary>Checks a structured encoding; null: left out.</summary>
    public Action<StructuredEncoding>? ValidateStructure { get; init; }

    /// <summary>
    /// Fills in arguments of a format that depend on the values, such as <c>scale=auto</c>: gets the format and the values to encode, returns
    /// the format to use. Null: passes take the choice that is always safe.
    /// </summary>
    public Func<UnitSpec, WeightEncoding, UnitSpec>? ChooseFormat { get; init; }

    /// <summary>A dense encoding as that of a sparse matrix, or null when it is none or not smaller that way. Null: nobody looks.</summary>
    public Func<WeightEncoding, WeightEncoding?>? FindSparsity { get; init; }

    /// <summary>Runs the model on calibration data; null when the user gave none.</summary>
    public ICalibrator? Calibrator { get; init; }

    /// <summary>True when only the outcome is asked for, not the values: passes leave what is expensive pending. For dry runs and comparisons with the original.</summary>
    public bool PlanOnly { get; init; }

    /// <summary>Takes bytes that a pass made over until the artifact is written; keeps them on disk when there are many. Null: they stay in memory.</summary>
    public Func<ReadOnlyMemory<byte>, TensorData>? Storage { get; init; }

    /// <summary>Told how far the running pass has come: what it is doing, how many of how many, and the tensor.</summary>
    public Action<string, long, long, string?>? Progress { get; init; }

    /// <summary>Cancellation, checked at least once per tensor.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>The pass that is running; set by the manager.</summary>
    public string CurrentPass { get; internal set; } = "";

    /// <summary>Everything reported so far, in order.</summary>
    public IReadOnlyList<Diagnostic> Diagnostics => _diagnostics;

    /// <summary>Everything measured so far, in order.</summary>
    public IReadOnlyList<Measurement> Measurements => _measurements;

    /// <summary>Hands bytes over to <see cref="Storage"/>.</summary>
    public TensorData Keep(ReadOnlyMemory<byte> bytes) => Storage?.Invoke(bytes) ?? TensorData.FromBytes(bytes);

    /// <summary>Reports something the user should know.</summary>
    public void Report(DiagnosticSeverity severity, string message, string? tensor = null)
    {
        lock (_lock)
        {
            _diagnostics.Add(new Diagnostic(severity, CurrentPass, message, tensor));
        }
    }

    /// <summary>Records a number about a tensor or, with <paramref name="tensor"/> null, about the model.</summary>
    public void Measure(string quantity, double value, string? tensor = null)
    {
        lock (_lock)
        {
            _measurements.Add(new Measurement(CurrentPass, quantity, value, tensor));
        }
    }
}

/// <summary>Evaluates a closed subgraph with a reference runtime.</summary>
public interface IConstantEvaluator
{
    /// <summary>Runs nodes whose inputs are all in <paramref name="constants"/> and returns the named outputs as raw tensors, or null when the runtime refuses.</summary>
    IReadOnlyList<Tensor>? Evaluate(Model model, IReadOnlyList<Node> nodes, IReadOnlyList<Tensor> constants, IReadOnlyList<string> outputs);
}

/// <summary>How serious a diagnostic is.</summary>
public enum DiagnosticSeverity
{
    Info,
    Warning,
}

/// <summary>Something a pass reported.</summary>
public sealed record Diagnostic(DiagnosticSeverity Severity, string Pass, string Message, string? Tensor);

/// <summary>Something a pass measured; the unit is part of the quantity's name (<c>seconds</c>, <c>saved_bytes</c>, ...).</summary>
public sealed record Measurement(string Pass, string Quantity, double Value, string? Tensor);
