namespace ModelPack.Toolchain;

/// <summary>What the nodes of a model take, beside what the plan predicts. A row is what was measured of nodes that are predicted together, mostly one.</summary>
public sealed record BenchedNodes
{
    /// <summary>Rows of at least this share of the run are listed.</summary>
    public const double LeastShare = 0.01;

    /// <summary>Measured times that differ from the prediction by at most this share of it are counted as predicted.</summary>
    public const double Tolerance = 0.25;

    /// <summary>Runs whose median is given.</summary>
    public required int Runs { get; init; }

    /// <summary>Median of these runs, of which ONNX Runtime's profiler is a part: about 10 microseconds for every node.</summary>
    public required double RunSeconds { get; init; }

    /// <summary>All nodes together: what <see cref="BenchedNode.Share"/> is a share of.</summary>
    public required double NodeSeconds { get; init; }

    /// <summary>Sizes that the inputs leave open, and values of inputs that are one integer, as they were measured and predicted.</summary>
    public required IReadOnlyDictionary<string, long> Sizes { get; init; }

    /// <summary>The hardware profile that predictions come from; null without any.</summary>
    public BenchedProfile? Profile { get; init; }

    /// <summary>Why nothing is predicted; null where something is.</summary>
    public string? NotPredicted { get; init; }

    /// <summary>Rows of at least <see cref="LeastShare"/> of the run, the longest first.</summary>
    public required IReadOnlyList<BenchedNode> Nodes { get; init; }

    /// <summary>How many of these are predicted within <see cref="Tolerance"/>.</summary>
    public required int Within { get; init; }

    /// <summary>Those of them that have a prediction.</summary>
    public required BenchedSum Predicted { get; init; }

    /// <summary>Rows below <see cref="LeastShare"/> that have a prediction.</summary>
    public required BenchedSum Small { get; init; }

    /// <summary>Rows of any share without a prediction.</summary>
    public required BenchedSum Unpredicted { get; init; }

    /// <summary>Names of these, the longest first.</summary>
    public required IReadOnlyList<string> UnpredictedNames { get; init; }

    /// <summary>Nodes with a prediction that ONNX Runtime does not run: computed when the model was opened, or removed.</summary>
    public required BenchedSum NotRun { get; init; }
}

/// <summary>What was measured of nodes that are predicted together.</summary>
/// <param name="Name">The node as ONNX Runtime runs it; of several the longest one.</param>
/// <param name="Op">Its operator.</param>
/// <param name="Kernel">What the plan chose for it; null for nodes without a compressed weight.</param>
/// <param name="PredictedSeconds">Null without a prediction.</param>
/// <param name="MeasuredSeconds">Median of the runs, of several nodes the sum.</param>
/// <param name="Share">Of <see cref="BenchedNodes.NodeSeconds"/>.</param>
/// <param name="Parts">Names of the nodes of the row, where there are several.</param>
public sealed record BenchedNode(string Name, string Op, string? Kernel, double? PredictedSeconds, double MeasuredSeconds, double Share, IReadOnlyList<string> Parts)
{
    /// <summary>Measured over predicted; null without a prediction.</summary>
    public double? Ratio => PredictedSeconds is double predicted && predicted > 0 ? MeasuredSeconds / predicted : null;

    /// <summary>Whether the prediction holds within <see cref="BenchedNodes.Tolerance"/>; null without one.</summary>
    public bool? Within => Ratio is double ratio ? Math.Abs(ratio - 1) <= BenchedNodes.Tolerance : null;
}

/// <summary>Several rows together.</summary>
/// <param name="Count">How many.</param>
/// <param name="PredictedSeconds">Sum of the predictions.</param>
/// <param name="MeasuredSeconds">Sum of the measured medians.</param>
public sealed record BenchedSum(int Count, double PredictedSeconds, double MeasuredSeconds);

/// <summary>Where predictions come from.</summary>
/// <param name="Name">Name of the hardware profile.</param>
/// <param name="Source">Measurement or data sheet.</param>
/// <param name="Measured">Whether kernels were measured for it; false for the built-in profiles of data sheets.</param>
/// <param name="Threads">Threads that are predicted: 1, or all cores of the profile.</param>
public sealed record BenchedProfile(string Name, string Source, bool Measured, int Threads);
