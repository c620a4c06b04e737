namespace ModelPack.Codecs;

/// <summary>How much time an encoder may spend. Decoders do not depend on it.</summary>
public enum CodecLevel
{
    /// <summary>Fastest encoding; LZ4 before Zstandard where both pay.</summary>
    Fast,

    /// <summary>Good ratio at a speed that keeps up with a disk.</summary>
    Default,

    /// <summary>Smallest result; several times slower to encode, as fast to decode.</summary>
    Max,
}
