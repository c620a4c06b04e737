using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Passes;

/// <summary>A constant of the graph along one axis of which the channels of a value lie.</summary>
/// <param name="Tensor">The constant.</param>
/// <param name="Axis">The axis.</param>
/// <param name="Channels">Factor that each position along the axis takes; default: position i takes factor i.</param>
internal readonly record struct ScaledAxis(Tensor Tensor, int Axis, ImmutableArray<int> Channels = default)
{
    /// <summary>The factor of a position along the axis.</summary>
    public int ChannelOf(int position) => Channels.IsDefault ? position : Channels[position];
}
