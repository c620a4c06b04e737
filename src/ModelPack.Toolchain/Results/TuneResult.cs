namespace ModelPack.Toolchain;

/// <summary>What a search for encodings found. Sizes in bytes before lossless coding, times in seconds.</summary>
public sealed record TuneResult
{
    public required string Input { get; init; }

    /// <summary>The recipe file.</summary>
    public required string Output { get; init; }

    /// <summary>What was to be reached, in words.</summary>
    public required string Target { get; init; }

    /// <summary><c>divergence</c>: mean Kullback-Leibler divergence of predicted words, nats; <c>output-noise</c>: noise of the outputs by their power; <c>weight-error</c>: squared error of the weights by their squares.</summary>
    public required string LossKind { get; init; }

    /// <summary>What losses were measured on; null when only weights were looked at.</summary>
    public string? Data { get; init; }

    /// <summary>Samples of the data that were run.</summary>
    public int Samples { get; init; }

    /// <summary>Loss of the choice: measured on the data, or the sum of what its tensors lose.</summary>
    public required double Loss { get; init; }

    /// <summary>Mean bits per weight of the tensors that were chosen for.</summary>
    public required double BitsPerWeight { get; init; }

    public required long InputBytes { get; init; }

    /// <summary>Bytes of the whole model.</summary>
    public required long OutputBytes { get; init; }

    /// <summary>Losses that were measured in this run; those a journal remembered are not counted.</summary>
    public required int Measurements { get; init; }

    public required double Seconds { get; init; }

    /// <summary>From small to good: the best choices of all sizes.</summary>
    public required IReadOnlyList<TunePoint> Front { get; init; }

    /// <summary>Every candidate for all tensors, for comparison.</summary>
    public required IReadOnlyList<TunePoint> Uniform { get; init; }

    public required IReadOnlyList<TunedTensor> Tensors { get; init; }
}

/// <summary>A choice for all tensors.</summary>
/// <param name="Name">The candidate, or <c>mixed</c>.</param>
/// <param name="BitsPerWeight">Mean over the tensors.</param>
/// <param name="Bytes">Bytes of the whole model.</param>
/// <param name="Predicted">Sum of the losses of the tensors.</param>
/// <param name="Loss">Measured with all tensors encoded; null when it was not.</param>
/// <param name="Chosen">True for what the recipe does.</param>
public sealed record TunePoint(string Name, double BitsPerWeight, long Bytes, double Predicted, double? Loss, bool Chosen);

/// <summary>What was chosen for a tensor.</summary>
/// <param name="Name">Tensor.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Kind">What it is for.</param>
/// <param name="Format">Number format, or <c>keep</c>.</param>
/// <param name="BitsPerWeight">Bits, scales included.</param>
/// <param name="Loss">What it adds to the loss.</param>
/// <param name="Measured">True when that was measured with this format, false when it was carried over from another one by the errors of the weights.</param>
public sealed record TunedTensor(string Name, IReadOnlyList<long> Shape, string Kind, string Format, double BitsPerWeight, double Loss, bool Measured);
