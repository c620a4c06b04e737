namespace ModelPack.Toolchain;

/// <summary>What a run is expected to take of memory, in bytes, when the inputs of the model have given sizes.</summary>
public sealed record PredictedMemory
{
    /// <summary>What the inputs leave open: dimensions without a size, and single integers.</summary>
    public required IReadOnlyDictionary<string, long> Sizes { get; init; }

    /// <summary>Weights as kernels read them.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>The arena in which the values of a run share their places.</summary>
    public required long ArenaBytes { get; init; }

    /// <summary>The most of it that is in use at once.</summary>
    public required long PeakBytes { get; init; }

    /// <summary>The node during which it is; empty when nothing is in use.</summary>
    public required string PeakNode { get; init; }

    /// <summary>Inputs, which are the caller's.</summary>
    public required long InputBytes { get; init; }

    /// <summary>Values that follow from constants alone: made when the model is opened.</summary>
    public required long ConstantBytes { get; init; }

    /// <summary>Values whose size depends on data, which are not counted.</summary>
    public required IReadOnlyList<string> Unknown { get; init; }

    /// <summary>The parts of the arena, in the order in which they are first written.</summary>
    public required IReadOnlyList<PredictedBuffer> Buffers { get; init; }
}

/// <summary>A part of the arena.</summary>
/// <param name="Values">Values of the execution graph that lie in it one after another.</param>
/// <param name="OffsetBytes">Where it begins.</param>
/// <param name="LengthBytes">How long it is.</param>
/// <param name="First">Position of the node that writes it first.</param>
/// <param name="Last">Position of the last node that reads it; the number of nodes for outputs of the model.</param>
public sealed record PredictedBuffer(IReadOnlyList<string> Values, long OffsetBytes, long LengthBytes, int First, int Last);
