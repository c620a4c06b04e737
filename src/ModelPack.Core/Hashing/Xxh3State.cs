using System.Runtime.CompilerServices;

namespace ModelPack;

/// <summary>The eight accumulators of a long hash.</summary>
[InlineArray(8)]
internal struct Xxh3State
{
    public const uint Prime32A = 0x9E3779B1;
    public const uint Prime32B = 0x85EBCA77;
    public const uint Prime32C = 0xC2B2AE3D;
    public const ulong Prime64A = 0x9E3779B185EBCA87;
    public const ulong Prime64B = 0xC2B2AE3D27D4EB4F;
    public const ulong Prime64C = 0x165667B19E3779F9;
    public const ulong Prime64D = 0x85EBCA77C2B2AE63;
    public const ulong Prime64E = 0x27D4EB2F165667C5;

    private ulong _first;

    public static Xxh3State Start
    {
        get
        {
            var state = default(Xxh3State);
            ReadOnlySpan<ulong> values = [Prime32C, Prime64A, Prime64B, Prime64C, Prime64D, Prime32B, Prime64E, Prime32A];
            values.CopyTo(state);
            return state;
        }
    }
}
