using System.Collections.Immutable;

namespace ModelPack.Compiler.Planning.Memory;

/// <summary>Where the values of a run lie when they share one arena.</summary>
public sealed record MemoryPlan
{
    /// <summary>The buffers, in the order in which they are first written.</summary>
    public required ImmutableArray<PlannedBuffer> Buffers { get; init; }

    /// <summary>Bytes of the arena.</summary>
    public required long ArenaBytes { get; init; }

    /// <summary>The most bytes that are in use at once: no arena is smaller.</summary>
    public required long PeakBytes { get; init; }

    /// <summary>The node during which they are; empty where nothing is in use.</summary>
    public required string PeakNode { get; init; }

    /// <summary>Bytes of all inputs whose size is known. They are the caller's.</summary>
    public required long InputBytes { get; init; }

    /// <summary>Bytes of values that follow from constants alone: made once, when a session is opened, and kept.</summary>
    public required long ConstantBytes { get; init; }

    /// <summary>Values whose size is not known before a run; they are not counted.</summary>
    public required ImmutableArray<string> Unknown { get; init; }
}

/// <summary>A part of the arena.</summary>
/// <param name="Values">Values that lie in it one after another: each is made of the one before it, in place or by giving it another shape.</param>
/// <param name="OffsetBytes">Where it begins.</param>
/// <param name="LengthBytes">How long it is.</param>
/// <param name="First">Position of the node that writes it first.</param>
/// <param name="Last">Position of the last node that reads it; the number of nodes for outputs of the graph.</param>
public sealed record PlannedBuffer(ImmutableArray<string> Values, long OffsetBytes, long LengthBytes, int First, int Last);
