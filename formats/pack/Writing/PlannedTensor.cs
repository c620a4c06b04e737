using System.Collections.Immutable;

namespace ModelPack.Pack;

/// <summary>A tensor of the artifact being written.</summary>
/// <param name="Content">What the caller gave.</param>
/// <param name="Encoding">Its tree over stream plans.</param>
/// <param name="OwnStreams">Streams first used by this tensor.</param>
/// <param name="Measured">Jobs that measure its error.</param>
/// <param name="SharedWith">The earlier tensor that owns all its streams, or null.</param>
internal sealed record PlannedTensor(
    PackTensorContent Content,
    PlannedEncoding Encoding,
    ImmutableArray<StreamPlan> OwnStreams,
    ImmutableArray<QuantizeJob> Measured,
    string? SharedWith);
