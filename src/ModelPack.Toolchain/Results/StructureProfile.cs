namespace ModelPack.Toolchain;

/// <summary>What a model loses when single weights are decomposed, each alone and at several shares of their parameters. Times in seconds.</summary>
public sealed record StructureProfile
{
    public required string Input { get; init; }

    /// <summary>This profile as JSON; the heat map lies beside it.</summary>
    public required string Output { get; init; }

    /// <summary>As pass <c>decompose</c> names it.</summary>
    public required string Structure { get; init; }

    /// <summary><c>divergence</c>: mean Kullback-Leibler divergence of predicted words, nats; <c>output-noise</c>: noise of the outputs by their power.</summary>
    public required string LossKind { get; init; }

    /// <summary>What losses were measured on.</summary>
    public required string Data { get; init; }

    /// <summary>Samples of the data that were run.</summary>
    public required int Samples { get; init; }

    public required double Seconds { get; init; }

    /// <summary>Parameters asked for, in per cent, descending.</summary>
    public required IReadOnlyList<int> Percents { get; init; }

    /// <summary>In the order of the graph's initializers.</summary>
    public required IReadOnlyList<ProfiledTensor> Tensors { get; init; }
}

/// <summary>A weight, decomposed alone.</summary>
/// <param name="Name">Tensor.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Kind">What it is for.</param>
/// <param name="Ranks">Rank at each share; null where it stays whole.</param>
/// <param name="Losses">Loss of the model at each share; null where it stays whole.</param>
public sealed record ProfiledTensor(string Name, IReadOnlyList<long> Shape, string Kind, IReadOnlyList<int?> Ranks, IReadOnlyList<double?> Losses);
