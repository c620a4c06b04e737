using System.IO.Hashing;

namespace ModelPack;

/// <summary>
/// XXH3-64 with seed 0, the checksum of artifacts. The same value as <see cref="XxHash3"/>, of which short inputs and machines without vectors of 256 bits make use; the loop for long inputs is our own, because it is on the
/// way of every byte that is loaded: it is compiled with optimisation at once (a new process otherwise hashes at a tenth of the speed until it is recompiled), has vectors of 512 bits, and can follow a decoder.
/// Source: the specification of XXH3 in the xxHash project, doc/xxhash_spec.md.
/// </summary>
public static class Xxh3
{
    /// <summary>Hashes bytes of any length.</summary>
    public static ulong Hash64(ReadOnlySpan<byte> bytes) => new RunningXxh3(bytes).Finish();
}
